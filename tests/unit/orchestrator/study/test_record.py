import math

import pytest

from orchestrator.study.record import StudyRecord, TrialRecord


def study(*trials, direction="maximize"):
    return StudyRecord(name="s", direction=direction, trials=list(trials))


def trial(number, value, state="complete", **more):
    return TrialRecord(number=number, value=value, state=state, **more)


@pytest.mark.parametrize(("direction", "number"), [("maximize", 1), ("minimize", 0)])
def test_the_best_trial_follows_the_direction(direction, number):
    best = study(trial(0, 1.0), trial(1, 3.0), trial(2, 2.0), direction=direction).best
    assert best is not None
    assert best.number == number


def test_of_equal_trials_the_earlier_one_is_best():
    best = study(trial(0, 1.0), trial(1, 3.0), trial(2, 3.0)).best
    assert best is not None
    assert best.number == 1


@pytest.mark.parametrize(
    "excluded",
    [
        trial(1, 9.0, state="pruned"),
        trial(1, None),
        trial(1, math.inf),
        trial(1, 9.0, feasible=False),
    ],
)
def test_only_complete_feasible_finite_trials_can_be_best(excluded):
    best = study(trial(0, 1.0), excluded).best
    assert best is not None
    assert best.number == 0
    assert study(excluded).best is None


def test_counts_are_zero_for_absent_states():
    counts = study(trial(0, 1.0), trial(1, 1.0), trial(2, None, state="failed")).counts
    assert [counts[state] for state in ("complete", "failed", "running")] == [2, 1, 0]


def test_a_trial_is_found_by_its_number():
    record = study(trial(0, 1.0), trial(4, 2.0))
    assert record.trial(4) is record.trials[1]
    assert record.trial(1) is None
