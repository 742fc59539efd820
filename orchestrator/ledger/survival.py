"""How far things come, where some have ended and others still go on: Kaplan and Meier, JASA 1958.

Those that have ended tend to be the short ones as long as the long ones go on, and those that go on
tend to be the long ones at any time: neither alone tells the mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Survival:
    """The share of things that come further than a place."""

    ended: Sequence[float]  # where some ended
    going: Sequence[float]  # where others are, and go on
    end: float  # behind which none comes

    def _steps(self) -> Iterator[tuple[float, float, float]]:
        """Stretches: from where, to where, and the share that comes through it whole."""
        places = sorted([(place, True) for place in self.ended] + [(p, False) for p in self.going])
        left, share, at = len(places), 1.0, 0.0
        for place, group in itertools.groupby(places, key=lambda item: item[0]):
            ends = [ended for _, ended in group]
            here = min(place, self.end)
            yield at, here, share
            share *= 1.0 - sum(ends) / left
            left -= len(ends)
            at = here
        yield at, self.end, share

    @property
    def mean(self) -> float:
        """How far they come in the mean."""
        return sum((to - begin) * share for begin, to, share in self._steps())

    @property
    def variance(self) -> float:
        """Of how far they come."""
        squares = sum((to**2 - begin**2) * share for begin, to, share in self._steps())
        return max(0.0, squares - self.mean**2)

    def further(self, place: float) -> float:
        """How far those come, beyond it, that come to `place`: in the mean."""
        steps = list(self._steps())
        there = next((share for _, to, share in steps if to > place), 0.0)
        if there <= 0.0:  # none came so far
            return max(0.0, self.end - place)
        beyond = sum((to - max(begin, place)) * share for begin, to, share in steps if to > place)
        return beyond / there
