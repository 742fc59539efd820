import pytest

from data.brain.prepare.assignment import assign_brains, least_subjects
from protocol.errors import DataError

SHARES = (0.7, 0.1, 0.2)
SUBJECTS = [f"s{number:02d}" for number in range(20)]


def test_nobody_is_in_two_splits_and_everybody_in_one():
    for folds in (1, 2, 5):
        for lesions in (False, True):
            found = assign_brains(SUBJECTS, SHARES, folds=folds, lesions=lesions, seed=0)
            assert len(found.folds) == folds
            assert len(found.test) == 4
            assert len(found.lesion_validation) == (2 if lesions else 0)
            for train, validation in found.folds:
                parts = (train, validation, found.test, found.lesion_validation)
                assert sorted(place for part in parts for place in part) == list(range(20))


def test_with_folds_everybody_of_the_pool_validates_once():
    found = assign_brains(SUBJECTS, SHARES, folds=3, lesions=True, seed=0)
    validating = [place for _, validation in found.folds for place in validation]
    assert len(validating) == len(set(validating)) == 14
    for train, validation in found.folds:
        assert sorted(train + validation) == sorted(validating)


def test_volumes_of_one_subject_stay_together():
    groups = [name for name in SUBJECTS for _ in range(3)]
    found = assign_brains(groups, SHARES, folds=2, lesions=True, seed=1)
    for train, validation in found.folds:
        parts = [train, validation, found.test, found.lesion_validation]
        subjects = [{groups[place] for place in part} for part in parts]
        assert sum(map(len, subjects)) == len(set.union(*subjects)) == 20


def test_the_seed_decides():
    first, again, other = (
        assign_brains(SUBJECTS, SHARES, folds=1, lesions=False, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_too_few_are_refused_and_just_enough_are_not():
    for folds in (1, 2, 3):
        for lesions in (False, True):
            least = least_subjects(folds, lesions=lesions)
            assign_brains(SUBJECTS[:least], SHARES, folds=folds, lesions=lesions, seed=0)
            with pytest.raises(DataError, match=rf"{least - 1} subjects are too few"):
                assign_brains(SUBJECTS[: least - 1], SHARES, folds=folds, lesions=lesions, seed=0)
