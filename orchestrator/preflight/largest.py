"""Looking for the largest point of a search space by measuring some of its corners.

Numbers are taken to cost more the higher they are. From there the search goes key by key: every
other choice of a key that holds words or truth values, each with all numbers high, and then the
other end of every number, as far as the allowed measurements reach. A key's best value stays
while the next keys are tried. That finds the largest point where keys add to or multiply each
other's costs, as sizes do; it can miss one that is large only in a combination of words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.settings.schema import Choices, Range
from orchestrator.settings.space import Space, highest, numbers
from protocol.recipe import WEIGHTLESS, TrainingRecipe, keys_with

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
    space: Space,
    measure: Callable[[Point], float],
    go_on: Callable[[int], bool],
) -> Climb:
    """The largest point that was found.

    Args:
        measure: the size of a point; infinite where it did not fit, negative where it failed.
        go_on: whether there may be another measurement after so many.
    """
    wanted = {key: highest(spec) for key, spec in space.search.items()}
    best = Climb(point=space.at(wanted))
    best.size, best.tried = measure(best.point), 1
    for key, value in _alternatives(space):
        point = space.at({**wanted, key: value})
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


def _alternatives(space: Space) -> Iterator[tuple[str, Any]]:
    weightless = keys_with(WEIGHTLESS, TrainingRecipe)
    keys = [key for key in space.ordered() if key not in weightless]
    for key in keys:
        spec = space.search[key]
        if isinstance(spec, Choices):
            known = [*numbers(spec), highest(spec)]
            yield from ((key, choice) for choice in spec.choices if choice not in known)
    for key in keys:
        spec = space.search[key]
        low = spec.low if isinstance(spec, Range) else min(numbers(spec), default=None)
        if low is not None:
            yield key, low
