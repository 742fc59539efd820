"""Before the first trial: what the largest configuration needs, beside what there is.

A few configurations are tried for two steps each (see `largest` for which, and `rehearsal` for
how). Whatever comes out, the search begins: a trial that runs out of memory has its own rule.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from orchestrator import words
from orchestrator.preflight.largest import Climb, climb
from orchestrator.preflight.rehearsal import GIB, Rehearsal, Rehearsed
from orchestrator.running.slots import Slot
from protocol.folders import StudyFolder
from protocol.messages import Measured, Message, save_message

MOST_TRIED = 12  # configurations
MOST_SECONDS = 300.0  # after which no further one is begun

_GOES_ON = (
    "the search goes on: a trial that runs out of memory is continued in smaller micro-batches at "
    "the same effective batch, and pruned as infeasible where one sample is too much"
)


class Preflight(Message):
    """What was found, as preflight.json has it."""

    sentence: str
    configuration: dict[str, Any]  # the largest that was found: its searched keys
    fits: bool | None  # as it is; None where nothing could be measured
    batch_size: int
    micro_batch: int | None  # the largest tried that fits, where not the whole batch does
    ranks: list[dict[str, float]]  # GiB at most by device, for every rank
    available: list[dict[str, float]]  # GiB before, likewise
    limit: float | None  # GiB of a rank, by the settings
    seconds_per_step: float
    tried: int  # configurations
    untried: list[str]  # keys of which not every end was tried


def is_wanted(
    asked: bool | None,
    folder: StudyFolder,
    slots: Sequence[Slot],
    study: optuna.Study,
    *,
    scripted: bool = False,
) -> bool:
    """Whether the largest configuration is to be tried now.

    Args:
        asked: what the user said; None: on GPUs, once, before the first trial.
        folder: of the study.
        slots: of its trials.
        study: with the trials that there are.
        scripted: whether a trial is a command, of which nobody here can run two steps.
    """
    if scripted:
        return False
    if asked is not None:
        return asked
    trials = study.get_trials(deepcopy=False)
    begun = any(trial.state != TrialState.WAITING for trial in trials)
    on_gpus = any(device.startswith("cuda") for device in slots[0].devices)
    return on_gpus and not begun and not folder.preflight.exists()


def preflight(rehearsal: Rehearsal) -> Preflight:
    """Find the largest configuration, and write what it needs into the study's folder."""
    settings = rehearsal.session.settings
    results: dict[str, Rehearsed] = {}

    def measure(point: dict[str, Any]) -> float:
        results[repr(point)] = rehearsal(point)
        return results[repr(point)].size

    def go_on(tried: int) -> bool:
        return tried < MOST_TRIED and time.monotonic() - rehearsal.started < MOST_SECONDS

    found = climb(rehearsal.space, measure, go_on)
    largest = results[repr(found.point)]
    whole = _batch_size(rehearsal, found)
    micro_batch: int | None = None
    fitting = largest
    if largest.ending == "memory":
        micro_batch, fitting = _reduce(rehearsal, found, whole)
    report = Preflight(
        sentence=_sentence(rehearsal, found, largest, fitting, (whole, micro_batch)),
        configuration=found.point,
        fits=None if largest.ending == "failed" else largest.ending == "fits",
        batch_size=whole,
        micro_batch=micro_batch,
        ranks=[_gib(rank.peaks) for rank in fitting.measured],
        available=[_gib(rank.available) for rank in fitting.measured],
        limit=settings.limits.memory_gb,
        seconds_per_step=round(fitting.seconds, 4),
        tried=found.tried,
        untried=found.untried,
    )
    save_message(rehearsal.session.folder.preflight, report)
    return report


def _batch_size(rehearsal: Rehearsal, found: Climb) -> int:
    return rehearsal.space.recipe(found.point).training.batch_size


def _reduce(rehearsal: Rehearsal, found: Climb, size: int) -> tuple[int | None, Rehearsed]:
    """The first half, quarter, … of the batch that fits, as a trial would come to it."""
    result = Rehearsed(ending="memory")
    while size > 1:
        size //= 2
        result = rehearsal(found.point, micro_batch=size)
        if result.ending == "fits":
            return size, result
    return None, result


def _sentence(
    rehearsal: Rehearsal,
    found: Climb,
    largest: Rehearsed,
    fitting: Rehearsed,
    batch: tuple[int, int | None],
) -> str:
    point = words.settings(found.point)
    limit = rehearsal.session.settings.limits.memory_gb
    if largest.ending == "failed":
        return f"preflight: {point} could not be tried: {largest.reason}; the search goes on"
    whole, micro_batch = batch
    if largest.ending == "fits":
        untried = f" (not every end of {', '.join(found.untried)})" if found.untried else ""
        tried = f"the largest of {words.counted(found.tried, 'configuration')} tried{untried}"
        crowd = _crowd(fitting.measured, len(rehearsal.session.slots)) if limit is None else ""
        return f"preflight: {tried} takes {_needs(fitting, limit)}{crowd}: {point}"
    if micro_batch is None:
        less = ", not even one sample at a time" if whole > 1 else ""
        return f"preflight: {point} does not fit into memory{less}; {_GOES_ON}"
    return (
        f"preflight: {point} does not fit into memory in batches of {whole}; in micro-batches of "
        f"{micro_batch} it takes {_needs(fitting, limit)}; {_GOES_ON}"
    )


def _needs(result: Rehearsed, limit: float | None) -> str:
    """Memory and time, beside what there is: of a CPU for its most demanding rank."""
    by_device: dict[str, tuple[int, int]] = {}
    for rank in result.measured:
        for device, peak in rank.peaks.items():
            most, _ = by_device.get(device, (-1, 0))
            if peak > most:
                by_device[device] = peak, rank.available[device]
    parts = [
        f"{peak / GIB:.2f} GiB of {_there(device, available, limit)}"
        for device, (peak, available) in sorted(by_device.items())
    ]
    return f"{', '.join(parts)} and {result.seconds:.2g} s a step"


def _there(device: str, available: int, limit: float | None) -> str:
    if limit is not None:
        return f"the {limit:g} GiB that limits.memory_gb leaves a rank on {device}"
    return f"the {available / GIB:.1f} GiB available on {device}"


def _crowd(measured: list[Measured], trials: int) -> str:
    """A warning where all ranks of all trials together need more of the machine than there is."""
    ranks = [rank for rank in measured if "cpu" in rank.peaks]
    needed = trials * sum(rank.peaks["cpu"] for rank in ranks)
    if not ranks or needed <= ranks[0].available["cpu"]:
        return ""
    return (
        f"; with {words.counted(trials, 'trial')} of {words.counted(len(measured), 'rank')} at a "
        f"time that comes to {needed / GIB:.1f} GiB, more than there is: lower parallel_trials"
    )


def _gib(by_device: Mapping[str, int]) -> dict[str, float]:
    return {device: round(count / GIB, 4) for device, count in by_device.items()}
