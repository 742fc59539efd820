import math

import pytest

from orchestrator.confirmation.sources import best_sources
from orchestrator.errors import SettingsError
from orchestrator.record import StudyRecord, TrialRecord


def study(*values, direction="maximize", params=None, **changes):
    trials = [
        TrialRecord(
            number=number,
            state="failed" if value is None else "complete",
            value=value,
            params={"x": number if params is None else params[number]},
            **changes,
        )
        for number, value in enumerate(values)
    ]
    return StudyRecord(name="made", direction=direction, trials=trials)


def numbers(sources):
    return [trial.number for trial in sources.trials]


@pytest.mark.parametrize(("direction", "best"), [("maximize", [2, 3]), ("minimize", [0, 1])])
def test_the_best_trials_are_taken_in_the_studys_direction(direction, best):
    sources = best_sources(study(1.0, 2.0, 5.0, 3.0, direction=direction), 2)
    assert numbers(sources) == best
    assert sources.notices == []


def test_of_equals_the_earlier_comes_first():
    assert numbers(best_sources(study(1.0, 2.0, 2.0), 2)) == [1, 2]


def test_trials_that_are_not_complete_or_not_finite_are_passed_over():
    assert numbers(best_sources(study(1.0, None, math.inf, 0.5), 2)) == [0, 3]


def test_an_infeasible_trial_is_passed_over():
    with pytest.raises(SettingsError):
        best_sources(study(1.0, feasible=False), 1)


def test_fewer_trials_than_asked_for_are_taken_and_it_is_said():
    sources = best_sources(study(1.0, 2.0), 5)
    assert numbers(sources) == [1, 0]
    (sentence,) = sources.notices
    assert "--top" in sentence
    assert "2 complete trials" in sentence


def test_a_trial_with_the_parameters_of_a_better_one_gives_its_place_to_the_next():
    sources = best_sources(study(1.0, 2.0, 3.0, params=["a", "b", "b"]), 2)
    assert numbers(sources) == [2, 0]
    (sentence,) = sources.notices
    assert "trial 1 has the same parameters as trial 2" in sentence


def test_without_a_complete_trial_there_is_nothing_to_confirm_and_the_reason_is_given():
    with pytest.raises(SettingsError, match=r"'made' is complete.*2 failed"):
        best_sources(study(None, None), 3)
