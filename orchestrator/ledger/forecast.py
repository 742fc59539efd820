"""How long a study will still take, from the trials so far.

What is left of the trials that run goes by their own pace and by how far trials came that got as
far; a new trial is like the latest, whose times a fit smooths that knows the parameters which
matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from orchestrator.ledger.fit import Fit
from orchestrator.ledger.survival import Survival

_FEWEST = 3  # trials that have ended, below which nothing is known
_FEWEST_PRUNED = 10  # where some are pruned
_ROUNDS = 2  # of trials on every lane: the first ones meet no pruner, and the long ones go on
_LATEST = 0.35  # share of the trials that the next ones are like: proposals and pruning change
_FEWEST_LATEST = 8
_LEARNING = 0.8  # how far from what the latest take the next ones go towards what the best take
_DRIFT = 0.25  # by which the next trials may take longer or shorter than the latest, one sigma
_WIDEST = 2.4  # times the estimate that the interval may reach to early on
_SIGMAS = 1.28  # of an interval that holds in eight of ten cases


@dataclass(frozen=True, kw_only=True)
class Past:
    """A trial that has ended."""

    seconds: float  # in which it trained, over all attempts
    fraction: float  # of its epochs that it came to
    params: Mapping[str, Any]
    loss: float | None = None  # of a complete one: its objective, such that lower is better


@dataclass(frozen=True, kw_only=True)
class Present:
    """A trial that runs."""

    seconds: float  # so far
    left: float | None  # to its last epoch, by its own pace; None before that is known
    params: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Seconds until the study's last trial has ended; eight of ten such intervals hold."""

    seconds: float
    low: float
    high: float

    def later(self, seconds: float) -> Forecast:
        """The same, so many seconds later."""
        ends = (self.seconds, self.low, self.high)
        middle, low, high = (max(0.0, end - seconds) for end in ends)
        return Forecast(seconds=middle, low=low, high=high)

    def within(self, seconds: float) -> Forecast:
        """The same, where it is over after so many seconds in any case."""
        ends = (self.seconds, self.low, self.high)
        middle, low, high = (min(end, max(0.0, seconds)) for end in ends)
        return Forecast(seconds=middle, low=low, high=high)


def forecast(
    past: Sequence[Past],
    present: Sequence[Present],
    *,
    waiting: int,
    lanes: int,
    prunes: bool = False,
    gap: float = 0.0,
) -> Forecast | None:
    """The time that is left; None where it is not known yet.

    Args:
        past: the trials that have ended, in the order of their ends.
        present: those that run.
        waiting: how many are still to be begun.
        lanes: how many run at a time.
        prunes: whether a pruner is asked, which lets the first trials pass.
        gap: seconds that a lane is empty between two trials.
    """
    fit = Fit.of([(t.params, t.seconds / t.fraction, t.fraction) for t in past if _told(t)])
    wholes = [_whole(trial, fit) for trial in present]
    going = [(t.seconds, whole) for t, whole in zip(present, wholes, strict=True) if whole]
    latest = _latest(past)
    fractions = Survival(
        ended=[trial.fraction for trial in latest],
        going=[seconds / whole for seconds, whole in going],
        end=1.0,
    )
    lefts = [whole * fractions.further(seconds / whole) for seconds, whole in going]
    unknown = len(present) - len(going)
    if not waiting and not unknown:
        return _of_running(lefts)
    total = len(past) + len(present) + waiting
    wanted = max(_FEWEST_PRUNED if prunes else _FEWEST, _ROUNDS * lanes)
    third = math.ceil(total / 3)  # when it is told in any case
    if len(past) < max(_FEWEST, min(wanted, third)):
        return None
    times = Survival(
        ended=[_smoothed(trial, fit) for trial in latest],
        going=[seconds for seconds, _ in going],
        end=max([whole for _, whole in going] + [trial.seconds for trial in latest]),
    )
    mean = times.mean * _becoming(past, latest, fit)
    found = _total(mean, times.variance, len(latest), lefts, waiting + unknown, lanes, gap)
    wide = found.high > _WIDEST * found.seconds
    return None if wide and len(past) < max(wanted, third) else found


def _becoming(past: Sequence[Past], latest: Sequence[Past], fit: Fit | None) -> float:
    """By what factor the next trials take longer than the latest: as the best so far do.

    Proposals come to resemble them; of a sampler that learns nothing best and latest are alike.
    """
    judged = sorted(
        (trial.loss, index) for index, trial in enumerate(past) if trial.loss is not None
    )
    if fit is None or len(judged) < _FEWEST:
        return 1.0
    best = [past[index] for _, index in judged[: max(_FEWEST, len(past) // 5)]]
    towards, now = (
        fmean(fit.seconds(trial.params) for trial in trials) for trials in (best, latest)
    )
    return float((towards / now) ** _LEARNING)


def _of_running(lefts: Sequence[float]) -> Forecast:
    longest = max(lefts, default=0.0)
    spread = _SIGMAS * _DRIFT * longest
    return Forecast(seconds=longest, low=longest - spread, high=longest + spread)


def _total(
    mean: float,
    variance: float,
    count: int,
    lefts: Sequence[float],
    waiting: int,
    lanes: int,
    gap: float,
) -> Forecast:
    # While the last ones end, some lanes are empty: for what is left of a trial met at any moment.
    uneven = (lanes - 1) * (variance + mean**2) / (2 * mean) if mean else 0.0
    seconds = max([(sum(lefts) + waiting * (mean + gap) + uneven) / lanes, *lefts])
    drift = waiting * math.sqrt(variance / count + (_DRIFT * mean) ** 2)
    sigma = math.hypot(drift, math.sqrt((waiting + len(lefts)) * variance)) / lanes
    relative = sigma / seconds if seconds > 0 else 0.0
    factor = math.exp(_SIGMAS * math.sqrt(math.log1p(relative**2)))
    return Forecast(seconds=seconds, low=seconds / factor, high=seconds * factor)


def _latest(past: Sequence[Past]) -> Sequence[Past]:
    return past[-max(_FEWEST_LATEST, round(_LATEST * len(past))) :]


def _told(trial: Past) -> bool:
    return trial.fraction > 0 and trial.seconds > 0


def _smoothed(trial: Past, fit: Fit | None) -> float:
    """What such a trial takes: half as it was, half as others let expect."""
    if fit is None or not _told(trial):
        return trial.seconds
    return 0.5 * trial.seconds + 0.5 * fit.seconds(trial.params) * trial.fraction


def _whole(trial: Present, fit: Fit | None) -> float | None:
    """Seconds of all its epochs; before its own pace is known as its parameters let expect."""
    if trial.left is not None:
        return trial.seconds + trial.left
    return None if fit is None else max(trial.seconds, fit.seconds(trial.params))
