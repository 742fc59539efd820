"""What an earlier session's trials tell of the next ones."""

from orchestrator.ledger.outlook import past_trials
from orchestrator.study.record import StudyRecord, TrialRecord


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
