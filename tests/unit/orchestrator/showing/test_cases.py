import pytest

from orchestrator.showing.cases import Sample, chosen_samples, chosen_trials, sample_of
from orchestrator.showing.look import look
from protocol.errors import SettingsError
from tests.unit.orchestrator.showing.conftest import TARGET


def numbers(study, asked):
    return [trial.number for trial in chosen_trials(study, asked)]


def test_trials_are_named_by_numbers_and_as_the_best_each_once(seen):
    assert numbers(seen, "3, 2,best,0") == [3, 2, 0]


def test_without_a_word_the_best_trials_are_shown_that_kept_something(made):
    (made.trial(0).panels / "validation_0000.panels").unlink()
    assert numbers(look(made.folder), None) == [2, 1, 3]


@pytest.mark.parametrize(
    ("asked", "said"), [("9", "has no trial 9"), ("x", "found 'x'"), (",", "found none")]
)
def test_a_trial_that_is_not_there_is_refused(seen, asked, said):
    with pytest.raises(SettingsError, match=f"--trials: .*{said}"):
        chosen_trials(seen, asked)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("5", Sample("test", 5)),
        ("validation_0003", Sample("validation", 3)),
        ("fold2_validation_0003_axial", Sample("validation", 3, 2)),
        (None, Sample("validation", 0)),
    ],
)
def test_a_case_is_a_number_in_the_split_or_a_name(seen, case, expected):
    assert chosen_samples(seen, seen.record.trials[:4], case, "test") == [expected]


def test_a_name_that_tells_of_no_case_is_refused_with_those_that_are_kept(seen):
    with pytest.raises(SettingsError, match=r"--case: found 'liver'.*kept are validation_0000"):
        chosen_samples(seen, seen.record.trials[:4], "liver", "test")


def test_names_and_samples_fit_together(made):
    made.keep(2, TARGET, TARGET, "validation_0001_left")
    assert sample_of("validation_0001_left").is_of("validation_0001_left")
    assert not Sample("validation", 1).is_of("validation_0010")
    assert sample_of("liver") is None
    assert Sample("test", 12, 1).name == "fold1_test_0012"
