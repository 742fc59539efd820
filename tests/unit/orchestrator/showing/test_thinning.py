import itertools
import random

import pytest
from optuna.trial import create_trial

from orchestrator.showing.thinning import thinned
from orchestrator.study.record import StudyRecord, TrialRecord


def study(count, direction="minimize"):
    chance = random.Random(1)
    trials, records = [], []
    for number in range(count):
        trial = create_trial(value=chance.random())
        trial.number = number
        trials.append(trial)
        records.append(TrialRecord(number=number, state="complete", value=trial.value))
    return trials, StudyRecord(name="x", direction=direction, trials=records)


def bests(trials, better):
    found = []
    for trial in trials:
        if not found or better(trial.value, found[-1]):
            found.append(trial.value)
    return found


@pytest.mark.parametrize(
    ("direction", "better"), [("minimize", float.__lt__), ("maximize", float.__gt__)]
)
def test_the_best_so_far_is_the_same_of_fewer_trials(direction, better):
    trials, record = study(5000, direction)
    shown, word = thinned(trials, record, 300)
    assert len(shown) <= 300
    assert [trial.number for trial in shown] == sorted({trial.number for trial in shown})
    assert bests(shown, better) == bests(trials, better)
    assert {trial.number for trial in record.ranked[:100]} <= {trial.number for trial in shown}
    assert word.startswith(f"{len(shown)} of 5000 trials are drawn")


def test_the_others_are_spread_evenly():
    trials, record = study(5000)
    shown, _ = thinned(trials, record, 300)
    best = {trial.number for trial in record.ranked[:100]}
    others = [trial.number for trial in shown if trial.number not in best]
    gaps = [later - earlier for earlier, later in itertools.pairwise(others)]
    assert max(gaps) < 60


def test_few_trials_are_all_drawn_and_nothing_is_said():
    trials, record = study(300)
    assert thinned(trials, record, 300) == (trials, "")
