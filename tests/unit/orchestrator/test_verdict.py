"""How an attempt ended: the one table, row by row."""

from __future__ import annotations

import pytest

from orchestrator.launcher.base import Exit
from orchestrator.messages import (
    Ending,
    Failed,
    Finished,
    NonFinite,
    Stop,
    Stopped,
    Validated,
)
from orchestrator.verdict import judge

VALIDATED = Validated(
    attempt=0, epoch=1, step=6, metrics={}, losses={}, learning_rate=1.0, seconds=1.0, best=True
)
FINISHED = Finished(attempt=0, epoch=2, step=12, early=False, best_epoch=1, metrics={})
DIVERGED = NonFinite(
    attempt=0, epoch=2, step=7, where="loss", ranks=[1], losses={"data": float("nan")}
)
CLEAN = Exit(codes={0: 0, 1: 0})


def failed(rank=0, error="ValueError", message="a bad shape", user_error=False):
    return Failed(
        attempt=0, rank=rank, error=error, message=message, traceback="…", user_error=user_error
    )


def bystander(rank):
    return failed(rank, "PeerLost", "another rank was lost: Connection closed by peer")


@pytest.mark.parametrize(
    ("events", "exit", "stop", "ending"),
    [
        ([VALIDATED, FINISHED], CLEAN, None, Ending.COMPLETED),
        # The answer was there before the teardown crashed.
        ([FINISHED], Exit(codes={0: -11, 1: 0}, first=0), None, Ending.COMPLETED),
        ([VALIDATED, DIVERGED], CLEAN, None, Ending.NONFINITE),
        (
            [Stopped(attempt=0, reason=Stop.INTERRUPT, epoch=1, step=4)],
            CLEAN,
            Stop.INTERRUPT,
            Ending.INTERRUPTED,
        ),
        ([VALIDATED], Exit(codes={0: -9, 1: -9}, first=1), Stop.INTERRUPT, Ending.INTERRUPTED),
        ([failed()], Exit(codes={0: 1, 1: 1}, first=0), None, Ending.FAILED),
        ([bystander(0)], Exit(codes={0: 1, 1: -9}, first=1), None, Ending.LOST),
        ([bystander(0), bystander(1)], Exit(codes={0: 1, 1: 1}, first=0), None, Ending.LOST),
        ([VALIDATED], Exit(codes={0: -9, 1: -9}, first=0, hung=1), None, Ending.HUNG),
        ([VALIDATED], Exit(vanished=True), None, Ending.LOST),
        ([VALIDATED], Exit(codes={0: 3}, first=0), None, Ending.LOST),
        ([failed(user_error=True)], Exit(codes={0: 1}, first=0), None, Ending.INTERRUPTED),
    ],
)
def test_every_way_to_end_has_its_ending(events, exit, stop, ending):
    assert judge(events, exit, stop).ending is ending


@pytest.mark.parametrize("events", [[FINISHED], [DIVERGED], [failed()], [VALIDATED]])
def test_a_decision_to_prune_stands_whatever_came_after(events):
    assert judge(events, CLEAN, Stop.PRUNED).ending is Ending.PRUNED


def test_a_bystander_is_not_taken_for_the_cause():
    verdict = judge([bystander(1), failed(0)], Exit(codes={0: 1, 1: 1}, first=1), None)
    assert verdict.ending is Ending.FAILED
    assert "rank 0" in verdict.reason


def test_a_signal_to_one_rank_is_the_cause_of_what_its_peers_raise():
    verdict = judge([failed(0)], Exit(codes={0: 1, 1: -9}, first=1), None)
    assert verdict.ending is Ending.LOST
    assert "rank 1" in verdict.reason
    assert "SIGKILL" in verdict.reason


def test_without_an_exit_only_events_that_tell_an_end_decide():
    assert judge([VALIDATED], None, None) is None
    assert judge([VALIDATED, bystander(0)], None, None) is None
    assert judge([VALIDATED, FINISHED], None, None).ending is Ending.COMPLETED
    assert judge([failed()], None, None).ending is Ending.FAILED


def test_a_divergence_says_step_epoch_rank_and_terms():
    reason = judge([DIVERGED], CLEAN, None).reason
    for word in ("step 7", "epoch 2", "rank 1", "data = nan"):
        assert word in reason
