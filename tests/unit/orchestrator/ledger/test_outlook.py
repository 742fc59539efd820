"""What an earlier session's trials tell of the next ones."""

import pytest

from orchestrator.ledger.account import Account
from orchestrator.ledger.outlook import Reached, outlook, past_trials, reached
from orchestrator.ledger.study import Ledger
from orchestrator.study.record import StudyRecord, TrialRecord
from protocol.messages import Started, Validated
from protocol.objective import Objective


def trial(number, state, epoch, lasted=50.0, **params):
    notes = {"epoch": epoch, "ledger": {"kept": lasted, "lasted": lasted}}
    return TrialRecord(number=number, state=state, params=params, notes=notes)


def record(*trials):
    return StudyRecord(name="x", direction="minimize", trials=list(trials))


def test_the_share_of_its_epochs_is_by_the_recipe_or_the_searched_key():
    known = record(
        trial(0, "complete", 20), trial(1, "pruned", 5), trial(2, "pruned", 5, epochs=50)
    )
    assert [past.fraction for past in past_trials(known, 20)] == [1.0, 0.25, 0.1]
    assert [past.fraction for past in past_trials(known, None)] == [1.0, 0.25, 0.1]
    assert past_trials(known, 20)[1].seconds == 50.0


def test_trials_that_run_or_of_which_nobody_counted_are_left_out():
    unknown = TrialRecord(number=1, state="complete", notes={"epoch": 4})
    assert past_trials(record(trial(0, "running", 3), unknown, trial(2, "failed", 0)), 4) == [
        *past_trials(record(trial(2, "failed", 0)), 4)
    ]


def test_a_trial_is_as_far_as_its_last_epoch_and_as_good_as_its_best():
    start = {"ranks": 1, "epochs": 8, "steps_per_epoch": 5, "parameters": 1, "resumed_step": 0}
    rest = {"losses": {}, "learning_rate": 1.0, "seconds": 1.0, "best": False, "step": 5}
    events = [Started(attempt=0, **start)]
    for epoch, value in enumerate((3.0, 1.0, 2.0), start=1):
        events.append(Validated(attempt=0, epoch=epoch, metrics={"error": value}, **rest))
    objective = Objective(metric="error", direction="minimize")
    assert reached(events, objective) == Reached(epoch=3, epochs=8, best=1.0)
    assert reached([], objective) == Reached()


def test_a_scripts_pace_leaves_out_the_epochs_that_have_its_start_in_them():
    start = {"ranks": 1, "epochs": 8, "steps_per_epoch": 1, "parameters": 0, "resumed_step": 0}
    rest = {"losses": {}, "learning_rate": 0.0, "best": False, "metrics": {"error": 1.0}}
    objective = Objective(metric="error", direction="minimize")
    events = [Started(attempt=0, **start)]
    paces = []
    for epoch, seconds in enumerate((100.0, 10.0, 90.0, 12.0), start=1):
        if epoch == 3:
            events.append(Started(attempt=1, **start))
        events.append(Validated(attempt=0, epoch=epoch, step=epoch, seconds=seconds, **rest))
        paces.append(reached(events, objective).pace)
    assert paces == [None, 10.0, 10.0, 11.0]
    known = record(*(trial(number, "complete", 10) for number in range(4)), trial(4, "running", 0))
    ledger = Ledger(trials={4: Account(lasted=212.0)})
    running = {4: reached(events, objective)}
    found = outlook(known, ledger, running, budget=5, prunes=False, epochs=8)
    assert found.seconds == pytest.approx(44.0, rel=0.05)


def test_the_outlook_is_of_what_runs_and_what_waits():
    known = record(*(trial(number, "complete", 10) for number in range(4)), trial(4, "running", 0))
    ledger = Ledger(trials={4: Account(lasted=20.0)})
    running = {4: Reached(epoch=4, epochs=10)}
    asked = {"prunes": False, "epochs": 10}
    # 30 s of the running one, at its own pace, and three of 50 s.
    found = outlook(known, ledger, running, budget=8, **asked)
    assert 165.0 < found.seconds < 195.0
    assert 29.0 < outlook(known, ledger, running, budget=5, **asked).seconds < 31.0
