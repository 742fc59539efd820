import pytest

from orchestrator.running.ending.repeated import Repeated
from protocol.messages import Ending, Outcome


def ended(ending, reason="so"):
    return Outcome(ending=ending, reason=reason, attempts=1)


def test_the_same_failure_in_trial_after_trial_ends_the_run_with_its_own_sentence():
    repeated = Repeated(3)
    failures = [f"RuntimeError on rank {rank}: no interface 0x7f{rank}" for rank in range(3)]
    heard = [repeated.trouble(ended(Ending.FAILED, reason)) for reason in failures]
    assert heard[:2] == [None, None]
    assert "no interface" in str(heard[2])


@pytest.mark.parametrize("between", [Ending.COMPLETED, Ending.PRUNED])
def test_a_trial_that_trained_breaks_the_row(between):
    repeated = Repeated(2)
    assert repeated.trouble(ended(Ending.FAILED)) is None
    assert repeated.trouble(ended(between)) is None
    assert repeated.trouble(ended(Ending.FAILED)) is None
    assert repeated.trouble(ended(Ending.FAILED)) is not None


def test_different_failures_are_the_trials_own():
    repeated = Repeated(2)
    assert not any(repeated.trouble(ended(Ending.FAILED, word)) for word in ("a", "b", "a", "b"))


@pytest.mark.parametrize("ending", [Ending.INVALID, Ending.MEMORY, Ending.NONFINITE])
def test_points_that_cannot_be_trained_are_allowed_more_often_but_not_for_ever(ending):
    repeated = Repeated(3)
    heard = [repeated.trouble(ended(ending, f"width {n} does not fit")) for n in range(15)]
    assert heard[:-1] == [None] * 14
    assert "15 trials in a row" in str(heard[-1])
