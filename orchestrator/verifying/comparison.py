"""Two trainings of one plan, epoch by epoch: identical, or where and by how much they differ."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator import words
from protocol.messages import Plan, Validated

# Of a plan, what the bits of a training may depend on beside recipe, data and seed.
_HOW = ("devices", "stages", "schedule", "threads", "micro_batch", "deterministic")


@dataclass(frozen=True)
class Difference:
    """What differs at an epoch; a relative difference of 0 means weights alone."""

    epoch: int
    sentence: str


def difference(recorded: Validated, again: Validated) -> Difference | None:
    """What differs between an epoch's two tellings; None where they are identical."""
    same = _same_weights(recorded, again)
    if same and recorded.metrics == again.metrics:
        return None
    largest = max(
        (
            (_relative(recorded.metrics.get(name, math.nan), value), name)
            for name, value in again.metrics.items()
        ),
        default=(0.0, ""),
    )
    if largest[0] > 0:
        size, name = largest
        told = recorded.metrics.get(name)
        return Difference(
            again.epoch,
            f"{name} was {told}, now {again.metrics[name]}, a relative difference of "
            f"{words.number(size)}",
        )
    if same is False:
        return Difference(again.epoch, "the weights or the optimiser's state, but no metric")
    return None  # of an epoch that was not kept, metrics are all there is


def _same_weights(recorded: Validated, again: Validated) -> bool | None:
    """Whether the digests that both told are the same; None where there are none."""
    pairs = [(recorded.digest, again.digest), (recorded.best_digest, again.best_digest)]
    told = [one == other for one, other in pairs if one and other]
    return all(told) if told else None


def _relative(one: float, other: float) -> float:
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other))


def changed_surroundings(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is otherwise than when the trial was trained, a sentence each."""
    if not then:
        return ["the plan of this earlier version does not say where the trial was trained"]
    return [
        f"{name}: {then.get(name, 'none')!r} then, {now.get(name, 'none')!r} now"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]


def changed_between(plans: list[Plan]) -> list[str]:
    """In what the attempts of one trial were run differently, a sentence each."""
    found = []
    for name in _HOW:
        values = list(dict.fromkeys(repr(getattr(plan, name)) for plan in plans))
        if len(values) > 1:
            found.append(f"its attempts had {name} {', then '.join(values)}")
    where = [plan.surroundings for plan in plans if plan.surroundings]
    for earlier, later in itertools.pairwise(where):
        found += [f"between its attempts changed {what}" for what in _differing(earlier, later)]
    return list(dict.fromkeys(found))


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
