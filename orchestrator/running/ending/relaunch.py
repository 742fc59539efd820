"""Whether another attempt at a trial follows the one that ended."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator import words
from orchestrator.running.trial import RunningTrial
from orchestrator.running.verdict import Verdict
from protocol.messages import Ending

_RESUMED = (
    Ending.LOST,
    Ending.HUNG,
    Ending.INTERRUPTED,
    Ending.MOVED,
)  # endings that are none of the trial's own


def is_unfinished(running: RunningTrial, verdict: Verdict) -> bool:
    """Whether a trial goes on that an earlier orchestrator left, which costs it nothing."""
    return verdict.ending in _RESUMED or _fits_yet(running, verdict)


def goes_on(
    running: RunningTrial, verdict: Verdict, relaunches: int, say: Callable[[str], None]
) -> bool:
    """Whether another attempt follows as soon as there is a slot.

    Args:
        running: the trial.
        verdict: on its latest attempt.
        relaunches: how often a trial is resumed after an end that is not its own.
        say: tells people a sentence.
    """
    if verdict.ending is Ending.MOVED:  # which no trial can help, so that it costs it nothing
        say(f"trial {running.number}: {verdict.reason}; it goes on")
        return True
    if verdict.ending in _RESUMED:
        return _may_relaunch(running, verdict, relaunches, say)
    return _fits_yet(running, verdict)


def _may_relaunch(
    running: RunningTrial, verdict: Verdict, most: int, say: Callable[[str], None]
) -> bool:
    losses = int(running.trial.user_attrs.get("losses", 0)) + 1
    running.trial.set_user_attr("losses", losses)
    stopped = verdict.ending is Ending.INTERRUPTED and verdict.fault is None
    by_others = " by others" if stopped else ""
    say(
        f"trial {running.number}: {verdict.reason}{by_others}; "
        + (
            "it is resumed"
            if losses <= most
            else f"it was resumed {words.counted(most, 'time')}, and no more"
        )
    )
    return losses <= most


def _fits_yet(running: RunningTrial, verdict: Verdict) -> bool:
    """Whether a trial that ran out of memory may fit with fewer samples at once."""
    return verdict.ending is Ending.MEMORY and running.take_less_memory()
