"""Looking for the largest point of a search space by measuring some of its corners.

Numbers are taken to cost more the higher they are. From there the search goes key by key: every
other choice of a key that holds words or truth values, each with all numbers high, and then the
other end of every number, as far as the allowed measurements reach. A key's best value stays
while the next keys are tried. That finds the largest point where keys add to or multiply each
other's costs, as sizes do; it can miss one that is large only in a combination of words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.settings.schema import Choices, Range
from orchestrator.settings.space import Search, active, distribution, ordered

# Of the training recipe: what takes no memory, whatever its value.
WEIGHTLESS = frozenset(
    {
        "epochs",
        "learning_rate",
        "weight_decay",
        "betas",
        "epsilon",
        "momentum",
        "scheduler",
        "warmup_steps",
        "plateau_factor",
        "plateau_patience",
        "step_epochs",
        "step_factor",
        "minimum_learning_rate",
        "clip_norm",
        "clip_dynamic",
        "early_stopping",
        "loader_workers",
    }
)

Point = dict[str, Any]
INFINITE = float("inf")
_CLEARLY = 1.02  # larger: measurements of a CPU's memory vary a little


@dataclass
class Climb:
    """How the search for the largest point went."""

    point: Point = field(default_factory=dict)  # the largest: searched keys that hold there
    size: float = -1.0  # as measured; infinite where it did not fit, -1 where nothing was measured
    tried: int = 0
    untried: list[str] = field(default_factory=list)  # keys of which not every end was measured


def climb(
    search: Search,
    fixed: Mapping[str, Any],
    measure: Callable[[Point], float],
    go_on: Callable[[int], bool],
) -> Climb:
    """The largest point that was found.

    Args:
        fixed: the recipe's other keys and their values, for the conditions.
        measure: the size of a point; infinite where it did not fit, negative where it failed.
        go_on: whether there may be another measurement after so many.
    """
    wanted = {key: highest(spec) for key, spec in search.items()}
    best = Climb(point=at(search, fixed, wanted))
    best.size, best.tried = measure(best.point), 1
    for key, value in _alternatives(search, fixed):
        point = at(search, fixed, {**wanted, key: value})
        if best.size == INFINITE or key not in point or point == best.point:
            continue
        if not go_on(best.tried):
            best.untried = sorted({*best.untried, key})
            continue
        size = measure(point)
        best.tried += 1
        if size > max(best.size, best.size * _CLEARLY):
            wanted[key] = value
            best.point, best.size = point, size
    return best


def at(search: Search, fixed: Mapping[str, Any], wanted: Mapping[str, Any]) -> Point:
    """The searched keys whose conditions hold, with their values of `wanted`."""
    values, point = dict(fixed), {}
    for key in ordered(search, fixed):
        if active(search[key], values):
            values[key] = point[key] = wanted[key]
    return point


def highest(spec: Range | Choices) -> Any:
    """A range's upper end, the largest of numeric choices, else the first choice."""
    if isinstance(spec, Range):
        # The last value that can be reached in steps.
        return distribution(spec).high  # type: ignore[attr-defined]
    numbers = _numbers(spec)
    return max(numbers) if numbers else spec.choices[0]


def _alternatives(search: Search, fixed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    keys = [key for key in ordered(search, fixed) if key not in WEIGHTLESS]
    for key in keys:
        spec = search[key]
        if isinstance(spec, Choices):
            numbers = _numbers(spec)
            yield from ((key, c) for c in spec.choices if c not in numbers and c != highest(spec))
    for key in keys:
        spec = search[key]
        low = spec.low if isinstance(spec, Range) else min(_numbers(spec), default=None)
        if low is not None:
            yield key, low


def _numbers(spec: Choices) -> list[int | float]:
    return [c for c in spec.choices if isinstance(c, int | float) and not isinstance(c, bool)]
