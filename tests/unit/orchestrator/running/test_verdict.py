import pytest

from orchestrator.launcher.base import Cause, Exit
from orchestrator.running.verdict import judge
from protocol.messages import (
    NO_ROOM,
    Ending,
    Failed,
    Fault,
    Finished,
    NonFinite,
    Progressed,
    Started,
    Stop,
    Stopped,
    Validated,
)

A = {"attempt": 0}
STARTED = Started(**A, ranks=2, epochs=3, steps_per_epoch=4, parameters=5, resumed_step=0)
PROGRESS = Progressed(**A, epoch=1, step=2, losses={}, learning_rate=0.1, gradient_norm=1.0)
VALIDATED = Validated(
    **A, epoch=1, step=4, metrics={}, losses={}, learning_rate=0.1, seconds=1.0, best=True
)
FINISHED = Finished(**A, epoch=3, step=12, early=False, best_epoch=2, metrics={})
DIVERGED = NonFinite(
    **A, epoch=2, step=7, where="loss", ranks=[0, 1], losses={"data": float("nan"), "bias": 0.5}
)
PRUNED = Stopped(**A, reason=Stop.PRUNED, epoch=1, step=5)
OVERDUE = Stopped(**A, reason=Stop.TIMEOUT, epoch=1, step=5)
INTERRUPTED = Stopped(**A, reason=Stop.INTERRUPT, epoch=1, step=5)
ALL_WELL = Exit(codes={0: 0, 1: 0})


def failed(rank: int, error: str, message: str = "words", **more) -> Failed:
    return Failed(**A, rank=rank, error=error, message=message, traceback="Traceback …", **more)


CRASHED = failed(1, "ValueError", "3 is not 4")
BYSTANDER = failed(0, "PeerLost", "another rank was lost: Connection closed by peer")
HUNGRY = failed(1, "OutOfMemoryError", "3 GiB")
LOADER = failed(0, "LoaderKilled", "by signal: Killed")
MENDABLE = failed(0, "DataError", "scan.hdf5 is truncated", user_error=True)


def crash_of(first: int, code: int = 1) -> Exit:
    return Exit(codes={first: code, 1 - first: 1}, first=first)


KILLED = Exit(codes={0: 1, 1: -9}, first=1)


@pytest.mark.parametrize(
    ("events", "exit", "stop", "ending", "reason"),
    [
        # completed
        ([FINISHED], ALL_WELL, None, "completed", "all epochs trained"),
        (
            [FINISHED.model_copy(update={"early": True})],
            ALL_WELL,
            None,
            "completed",
            "early stopping",
        ),
        ([FINISHED], KILLED, None, "completed", "all epochs trained"),
        ([FINISHED], ALL_WELL, Stop.INTERRUPT, "completed", "all epochs trained"),
        # pruned
        ([PRUNED], ALL_WELL, Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        ([PRUNED], ALL_WELL, None, "pruned", "stopped at step 5"),
        # the decision stands, whatever the ranks came to before they saw it
        ([FINISHED], ALL_WELL, Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        ([FINISHED], None, Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        ([DIVERGED], ALL_WELL, Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        ([CRASHED], crash_of(1), Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        ([], KILLED, Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        ([INTERRUPTED], ALL_WELL, Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        # faults
        (
            [failed(0, "OSError", "x", fault=Fault.DISK)],
            crash_of(0),
            None,
            "interrupted",
            "x",
        ),
        ([], crash_of(0, NO_ROOM), None, "interrupted", "rank 0 found no room on the disk"),
        ([failed(0, "E", "no", fault=Fault.RECIPE)], crash_of(0), None, "invalid", "no"),
        ([failed(1, "E", "no", fault=Fault.DEVICE)], crash_of(1), None, "lost", "E on rank 1: no"),
        (
            [failed(1, "E", "no", fault=Fault.MACHINE)],
            crash_of(1),
            None,
            "failed",
            "E on rank 1: no",
        ),
        # who left in good order before the trial had ended is to blame, not who noticed it
        (
            [BYSTANDER],
            Exit(codes={1: 0, 0: 1}, first=1),
            None,
            "lost",
            "rank 1 left with code 0 before the trial had ended",
        ),
        # non-finite
        (
            [VALIDATED, DIVERGED],
            ALL_WELL,
            None,
            "nonfinite",
            "non-finite loss at step 7 (epoch 2) on ranks 0, 1: data = nan, bias = 0.5",
        ),
        (
            [DIVERGED.model_copy(update={"ranks": [1], "losses": {}, "where": "gradient"})],
            ALL_WELL,
            Stop.INTERRUPT,
            "nonfinite",
            "non-finite gradient at step 7 (epoch 2) on rank 1",
        ),
        ([DIVERGED], KILLED, None, "nonfinite", None),
        # failed, and who only saw it
        ([CRASHED], crash_of(1), None, "failed", "ValueError on rank 1: 3 is not 4"),
        ([CRASHED, BYSTANDER], crash_of(1), None, "failed", "ValueError on rank 1: 3 is not 4"),
        ([BYSTANDER, CRASHED], crash_of(0), None, "failed", "ValueError on rank 1: 3 is not 4"),
        ([CRASHED], crash_of(1), Stop.INTERRUPT, "failed", "ValueError on rank 1: 3 is not 4"),
        ([CRASHED], crash_of(0, -6), None, "failed", "ValueError on rank 1: 3 is not 4"),
        (
            [failed(0, "RuntimeError", "gloo: broken pipe, said the user's code")],
            crash_of(0),
            None,
            "failed",
            "RuntimeError on rank 0: gloo: broken pipe, said the user's code",
        ),
        # out of memory, and what only resembles it
        ([HUNGRY], crash_of(1), None, "memory", "OutOfMemoryError on rank 1: 3 GiB"),
        ([BYSTANDER, HUNGRY], crash_of(0), None, "memory", "OutOfMemoryError on rank 1: 3 GiB"),
        ([HUNGRY], crash_of(1), Stop.INTERRUPT, "memory", None),
        ([HUNGRY], crash_of(1), Stop.PRUNED, "pruned", None),
        ([HUNGRY], KILLED, None, "lost", "rank 1 was ended by SIGKILL"),
        ([LOADER], crash_of(0), None, "lost", "LoaderKilled on rank 0: by signal: Killed"),
        # the user can mend it
        ([MENDABLE], crash_of(0), None, "interrupted", "scan.hdf5 is truncated"),
        ([BYSTANDER, MENDABLE], crash_of(0), None, "interrupted", "scan.hdf5 is truncated"),
        # lost
        ([STARTED], KILLED, None, "lost", "rank 1 was ended by SIGKILL"),
        ([STARTED, BYSTANDER], KILLED, None, "lost", "rank 1 was ended by SIGKILL"),
        ([CRASHED], KILLED, None, "lost", "rank 1 was ended by SIGKILL"),
        ([], crash_of(0, -11), None, "lost", "rank 0 was ended by SIGSEGV"),
        ([], crash_of(0, -36), None, "lost", "rank 0 was ended by signal 36"),
        ([], crash_of(0, 7), None, "lost", "rank 0 left with code 7"),
        ([BYSTANDER], crash_of(0), None, "lost", "rank 0 left with code 1"),
        ([PROGRESS], Exit(vanished=True), None, "lost", "the processes went away without a word"),
        ([PROGRESS], ALL_WELL, None, "lost", "the processes went away without a word"),
        ([PROGRESS], Exit(vanished=True, word="it was stopped"), None, "lost", "it was stopped"),
        # over its time
        ([OVERDUE], ALL_WELL, Stop.TIMEOUT, "overdue", "over its time, stopped at step 5"),
        ([OVERDUE], None, None, "overdue", "over its time, stopped at step 5"),
        ([FINISHED], ALL_WELL, Stop.TIMEOUT, "completed", "all epochs trained"),
        ([PROGRESS], KILLED, Stop.TIMEOUT, "lost", "rank 1 was ended by SIGKILL"),
        # complete, but for its best weights
        (
            [FINISHED.model_copy(update={"best_lost": True})],
            ALL_WELL,
            None,
            "completed",
            "all epochs trained; best.pth was lost or damaged, and its weights are nowhere else",
        ),
        # hung
        (
            [PROGRESS],
            Exit(codes={0: -9, 1: -9}, first=0, hung=1),
            None,
            "hung",
            "rank 1 made no progress within its time-out",
        ),
        # interrupted
        ([INTERRUPTED], ALL_WELL, Stop.INTERRUPT, "interrupted", "stopped at step 5"),
        ([PROGRESS], Exit(vanished=True), Stop.INTERRUPT, "interrupted", "ended at once"),
        ([PROGRESS], KILLED, Stop.INTERRUPT, "interrupted", "ended at once"),
        # nobody was there to see the exit
        ([FINISHED], None, None, "completed", "all epochs trained"),
        ([DIVERGED], None, None, "nonfinite", None),
        ([HUNGRY], None, None, "memory", None),
        ([CRASHED], None, None, "failed", "ValueError on rank 1: 3 is not 4"),
        ([VALIDATED], None, Stop.PRUNED, "pruned", "the pruner expected no improvement"),
        ([INTERRUPTED], None, None, "interrupted", "stopped at step 5"),
        ([MENDABLE], None, None, "interrupted", "scan.hdf5 is truncated"),
    ],
)
def test_every_ending_is_told_from_events_exit_and_request(events, exit, stop, ending, reason):
    verdict = judge(events, exit, stop)
    assert verdict is not None
    assert verdict.ending == Ending(ending)
    assert reason is None or verdict.reason == reason


@pytest.mark.parametrize("events", [[], [STARTED, PROGRESS, VALIDATED], [STARTED, BYSTANDER]])
@pytest.mark.parametrize("stop", [None, Stop.INTERRUPT])
def test_without_an_exit_events_that_end_nothing_leave_the_verdict_open(events, stop):
    assert judge(events, None, stop) is None


@pytest.mark.parametrize(
    ("events", "exit", "deciding"),
    [
        ([STARTED, VALIDATED, DIVERGED], ALL_WELL, DIVERGED),
        ([STARTED, FINISHED], ALL_WELL, FINISHED),
        ([BYSTANDER, CRASHED], crash_of(0), CRASHED),
        ([MENDABLE], crash_of(0), MENDABLE),
        ([BYSTANDER], KILLED, None),
    ],
)
def test_a_verdict_holds_the_event_that_decided(events, exit, deciding):
    assert judge(events, exit, None).event == deciding


@pytest.mark.parametrize("code", [-11, -6, -7])
def test_a_crash_is_a_lack_of_memory_only_where_memory_is_limited(code):
    exit = crash_of(1, code)
    assert judge([BYSTANDER], exit, None).ending is Ending.LOST
    verdict = judge([BYSTANDER], exit, None, limited=True)
    assert (verdict.ending, verdict.rank) == (Ending.MEMORY, 1)
    assert judge([], KILLED, None, limited=True).ending is Ending.LOST
    assert judge([FINISHED], exit, None, limited=True).ending is Ending.COMPLETED


def test_a_rank_that_found_no_room_for_a_word_met_a_full_disk():
    assert judge([], crash_of(0, NO_ROOM), None).fault is Fault.DISK


EXPIRED = Stopped(**A, reason=Stop.EXPIRED, epoch=1, step=5)
DISPLACED = Stopped(**A, reason=Stop.DISPLACED, epoch=1, step=5)


def ended_by(cause: Cause, **more) -> Exit:
    return Exit(vanished=True, word="job 7 ended", cause=cause, **more)


@pytest.mark.parametrize(
    ("events", "exit", "stop", "ending", "reason"),
    [
        # its job's end explains whatever its ranks saw of that
        ([STARTED], ended_by(Cause.MOVED), None, "moved", "job 7 ended"),
        ([BYSTANDER], ended_by(Cause.MOVED), None, "moved", "job 7 ended"),
        ([STARTED], ended_by(Cause.CANCELLED), None, "cancelled", "job 7 ended"),
        ([STARTED], ended_by(Cause.MEMORY), None, "memory", "job 7 ended"),
        (
            [STARTED],
            Exit(codes={0: -9}, first=0, cause=Cause.MEMORY),
            None,
            "memory",
            "a process was killed for want of memory",
        ),
        # it left in good order; whether by a preemption or a person its job's end says
        (
            [EXPIRED],
            ALL_WELL,
            None,
            "moved",
            "its job's time is up, stopped at step 5",
        ),
        ([DISPLACED], None, None, "moved", "its job has to make room, stopped at step 5"),
        ([DISPLACED], ended_by(Cause.CANCELLED), None, "cancelled", "job 7 ended"),
        ([DISPLACED], ended_by(Cause.MOVED), None, "moved", "job 7 ended"),
        # what it had come to before stands
        ([FINISHED], ended_by(Cause.MOVED), None, "completed", "all epochs trained"),
        ([FINISHED], ended_by(Cause.CANCELLED), None, "completed", "all epochs trained"),
        ([DIVERGED], ended_by(Cause.MEMORY), None, "nonfinite", None),
        ([OVERDUE], ended_by(Cause.MOVED), Stop.TIMEOUT, "overdue", None),
        ([], ended_by(Cause.MOVED), Stop.PRUNED, "pruned", None),
        # who stops the search has no part of it counted against a trial
        ([STARTED], ended_by(Cause.CANCELLED), Stop.INTERRUPT, "interrupted", "ended at once"),
    ],
)
def test_the_end_of_a_job_is_told_from_that_of_its_trial(events, exit, stop, ending, reason):
    verdict = judge(events, exit, stop)
    assert verdict.ending == ending
    assert reason is None or verdict.reason == reason
