"""How an attempt ended, and what follows: the one table.

ending        because of                              told to the study    then
COMPLETED     all epochs, or early stopping           COMPLETE, the best   —
PRUNED        the pruner's decision                   PRUNED, at its step  —
NONFINITE     NaN or infinity on any rank             PRUNED, infeasible   —
INVALID       a point that the family refuses         PRUNED, infeasible   —
MEMORY        memory that ran out on any rank         nothing yet          resumed, micro-batch/2
              the same with one sample at a time      PRUNED, infeasible   —
FAILED        an exception in the trial's code        FAIL                 not retried
OVERDUE       it trained for limits.trial_timeout     PRUNED, at its step  —
LOST          a process killed from outside           nothing yet          resumed, boundedly
              a leader that was stopped for too long  nothing yet          resumed, boundedly
              a GPU that takes no more work           nothing yet          resumed on another one,
                                                                           boundedly
HUNG          a rank without progress; stacks are     nothing yet          resumed, boundedly
              asked for before the group is ended
INTERRUPTED   ^C, SIGTERM, data that are gone         nothing yet          resumed by the user
              a full disk, the study's                nothing yet          resumed with room again
              another one, such as /tmp               nothing yet          resumed, boundedly
              the trial alone, by others              nothing yet          resumed, boundedly
MOVED         a job's time limit, a preemption, a     nothing yet          resumed in another job,
              node that failed                                             as often as it takes
CANCELLED     somebody ended it (`stop --trial`),     PRUNED, at its step  —
              or its job (scancel)

The bound is `limits.relaunches`; `limits.same_failures` trials in a row that fail alike end the
run. Time in which the whole study was suspended counts neither as hanging nor as training.

Memory has run out where the rank could say so: in the model, in the optimiser or while reading
data, in its own process or in a loader's. Where the system kills a process for want of memory
nobody says so: such a rank, or a rank whose loader process was killed, is LOST. Where a CPU's
memory is limited by the settings, native libraries that do not look whether they got what they
asked for crash instead: there, and only there, a crash is taken for a lack of memory.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.launcher.base import Cause, Exit
from protocol.messages import (
    FROM_OUTSIDE,
    NO_ROOM,
    Ending,
    Event,
    Failed,
    Fault,
    Finished,
    NonFinite,
    Stop,
    Stopped,
)

# What version 0.2 and earlier told in place of faults.
_EARLIER = {
    "PeerLost": Fault.PEER,
    "OutOfMemoryError": Fault.MEMORY,
    "LoaderKilled": Fault.LOADER,
}
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)
_ENDINGS = {
    Fault.DEFECT: Ending.FAILED,
    Fault.SCRIPT: Ending.FAILED,
    Fault.USER: Ending.INTERRUPTED,
    Fault.RECIPE: Ending.INVALID,
    Fault.MEMORY: Ending.MEMORY,
    Fault.LOADER: Ending.LOST,
    Fault.DISK: Ending.INTERRUPTED,
    Fault.DEVICE: Ending.LOST,
    Fault.MACHINE: Ending.FAILED,
}
_STOPPED = {
    Stop.PRUNED: Ending.PRUNED,
    Stop.INTERRUPT: Ending.INTERRUPTED,
    Stop.TIMEOUT: Ending.OVERDUE,
    Stop.EXPIRED: Ending.MOVED,
    Stop.DISPLACED: Ending.MOVED,
}
_CAUSES = {
    Cause.MOVED: Ending.MOVED,
    Cause.MEMORY: Ending.MEMORY,
    Cause.CANCELLED: Ending.CANCELLED,
}
_WHY = {
    Stop.TIMEOUT: "over its time, ",
    Stop.EXPIRED: "its job's time is up, ",
    Stop.DISPLACED: "its job has to make room, ",
}
_PLAIN = (Fault.USER, Fault.RECIPE, Fault.DISK, Fault.SCRIPT)  # sentences for people, of no rank


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An attempt's ending and the sentence that says why."""

    ending: Ending
    reason: str
    event: Event | None = None  # the one that decided, where one did
    rank: int = 0  # whose end decided, where there is one
    fault: Fault | None = None  # of the exception that decided


def judge(
    events: Sequence[Event], exit: Exit | None, stop: Stop | None, *, limited: bool = False
) -> Verdict | None:
    """The verdict on one attempt, from its events, its exit and the stop that was asked for.

    Without an exit (nobody was there to see it) the events alone must tell; None if they do not.

    Args:
        limited: whether the memory of its processes was limited.
    """
    if stop is Stop.PRUNED:
        # Whatever the ranks came to before they saw it: that is a race, which would end otherwise
        # the next time. Of its last epoch a trial is not asked.
        return Verdict(ending=Ending.PRUNED, reason="the pruner expected no improvement")
    found = _by_event(events)
    if found is not None and found.ending is not Ending.MOVED:
        return found
    return (
        _by_cause(exit, stop) or found or _by_failure(events, exit) or _by_exit(exit, stop, limited)
    )


def _by_event(events: Sequence[Event]) -> Verdict | None:
    for event in reversed(events):
        match event:
            case Finished():
                how = "early stopping" if event.early else "all epochs trained"
                if event.best_lost:
                    how += "; best.pth was lost or damaged, and its weights are nowhere else"
                return Verdict(ending=Ending.COMPLETED, reason=how, event=event)
            case NonFinite():
                return Verdict(
                    ending=Ending.NONFINITE, reason=_divergence_sentence(event), event=event
                )
            case Stopped():
                why = _WHY.get(event.reason, "")
                return Verdict(
                    ending=_STOPPED[event.reason],
                    reason=f"{why}stopped at step {event.step}",
                    event=event,
                )
    return None


def _by_cause(exit: Exit | None, stop: Stop | None) -> Verdict | None:
    """What ended the whole group from outside explains whatever its ranks saw of that."""
    if exit is None or exit.cause is None or stop is Stop.INTERRUPT:
        return None
    reason = exit.word or "a process was killed for want of memory"
    return Verdict(ending=_CAUSES[exit.cause], reason=reason)


def _by_failure(events: Sequence[Event], exit: Exit | None) -> Verdict | None:
    if exit is not None and exit.first is not None and -exit.codes[exit.first] in FROM_OUTSIDE:
        return None  # whatever the others then saw is not the cause
    for event in events:
        if not isinstance(event, Failed):
            continue
        fault = _fault(event)
        if fault is Fault.PEER:
            continue
        of_rank = f"{event.error} on rank {event.rank}: {event.message}"
        return Verdict(
            ending=_ENDINGS[fault],
            reason=event.message if fault in _PLAIN else of_rank,
            event=event,
            rank=event.rank,
            fault=fault,
        )
    return None


def _fault(event: Failed) -> Fault:
    if event.user_error:
        return Fault.USER
    return _EARLIER.get(event.error, event.fault) if event.fault is Fault.DEFECT else event.fault


def _by_exit(exit: Exit | None, stop: Stop | None, limited: bool) -> Verdict | None:
    if exit is None:
        return None
    if stop is Stop.INTERRUPT:
        return Verdict(ending=Ending.INTERRUPTED, reason="ended at once")
    if exit.hung is not None:
        return Verdict(
            ending=Ending.HUNG, reason=f"rank {exit.hung} made no progress within its time-out"
        )
    if exit.vanished or exit.first is None:
        reason = exit.word or "the processes went away without a word"
        return Verdict(ending=Ending.LOST, reason=reason)
    code = exit.codes[exit.first]
    if code == NO_ROOM:
        reason = f"rank {exit.first} found no room on the disk"
        return Verdict(ending=Ending.INTERRUPTED, reason=reason, rank=exit.first, fault=Fault.DISK)
    if code == 0:
        reason = f"rank {exit.first} left with code 0 before the trial had ended"
        return Verdict(ending=Ending.LOST, reason=reason, rank=exit.first)
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"left with code {code}"
    ending = Ending.MEMORY if limited and -code in _CRASHES else Ending.LOST
    return Verdict(ending=ending, reason=f"rank {exit.first} {how}", rank=exit.first)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # real-time signals have no names


def _divergence_sentence(event: NonFinite) -> str:
    ranks = ", ".join(map(str, event.ranks))
    terms = ", ".join(f"{name} = {value}" for name, value in event.losses.items())
    plural = "s" if len(event.ranks) > 1 else ""
    return (
        f"non-finite {event.where} at step {event.step} (epoch {event.epoch}) on rank{plural} "
        f"{ranks}" + (f": {terms}" if terms else "")
    )
