from pathlib import Path

import pytest

from data.brain.prepare.plan import plan_brains
from data.brain.prepare.settings import BrainPrepareSettings
from data.brain.prepare.sources import Source, Sources
from protocol.errors import DataError


def source(subject, segmentation=None):
    return Source(
        subject=subject,
        person=subject,
        image=Path(f"{subject}.nii"),
        mask=None,
        segmentation=segmentation,
    )


def sources(healthy, ill=0):
    found = [
        Source(
            subject=f"s{n:02d}",
            person=f"s{n:02d}",
            image=Path(f"s{n:02d}.nii"),
            mask=None,
            segmentation=None,
        )
        for n in range(healthy)
    ] + [
        Source(
            subject=f"x{n}",
            person=f"x{n}",
            image=Path(f"x{n}.nii"),
            mask=None,
            segmentation=Path("seg.nii"),
        )
        for n in range(ill)
    ]
    return Sources(contrast="t2", found=tuple(found), notes=())


def settings(**changes):
    return BrainPrepareSettings(source="in", out="out", **changes)


def test_enough_subjects_are_taken_as_they_are_and_split_by_subject():
    plan = plan_brains(settings(), sources(10))
    assert [piece.name for piece in plan.healthy] == [f"s{n:02d}" for n in range(10)]
    assert not plan.from_same_people
    assert "Split by subject." in plan.notes
    assert plan.get_lesions == ()


def test_a_single_volume_is_varied_into_pseudo_subjects_and_that_is_said_loudly():
    plan = plan_brains(settings(lesions="synthetic"), sources(1))
    assert len(plan.healthy) == len({piece.name for piece in plan.healthy}) == 24
    assert plan.healthy[0].variant == 0
    assert plan.from_same_people
    assert any("ALL COME FROM ONE PERSON" in note for note in plan.notes)


def test_variants_of_enough_subjects_stay_with_their_subject():
    plan = plan_brains(settings(variants=3, lesions="synthetic"), sources(8))
    assert len(plan.healthy) == 24
    assert not plan.from_same_people
    train, validation = plan.assignment.folds[0]
    parts = (train, validation, plan.assignment.test, plan.assignment.lesion_validation)
    subjects = [{plan.healthy[place].source.subject for place in part} for part in parts]
    assert sum(map(len, subjects)) == 8


def test_synthetic_lesions_go_only_where_nothing_is_trained():
    plan = plan_brains(settings(lesions="synthetic", folds=2), sources(12))
    trained = {place for fold in plan.assignment.folds for part in fold for place in part}
    assert plan.get_lesions
    assert not trained & set(plan.get_lesions)
    assert set(plan.assignment.test) < set(plan.get_lesions)


def test_volumes_with_lesions_of_their_own_validate_and_test():
    plan = plan_brains(settings(), sources(10, ill=5))
    assert plan.ill_splits == (("x0", "x1"), ("x2", "x3", "x4"))
    assert all(piece.source.segmentation is None for piece in plan.healthy)
    with pytest.raises(DataError, match="all 3 volumes have a segmentation"):
        plan_brains(settings(), sources(0, ill=3))


def test_too_few_variants_are_refused():
    with pytest.raises(DataError, match="2 subjects are too few"):
        plan_brains(settings(variants=2), sources(1))
