"""Do the X-rays and the volume of a case show the same body, the same way round?

In data sets from elsewhere one of them may be upside down, have its axes in another order or its
grey values inverted, and nothing fails then but the training. So the volume, added up along the
rays, is compared with both views as they are read, and as they would be if one thing were other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

# In Fisher's z of correlations: silhouettes alone correlate by 0.9, and 0.99 is far more than that.
CLEARLY = 0.4  # more one way than the other, so that it is no chance
_AS_GOOD = 0.1  # less, where that takes fewer changes
_HIGHEST = 0.999  # correlation; beyond it numbers are round, not better
_SIDE = 24  # pixels of a side are enough to tell
_LEADS = ("IS", "PA", "LR")  # where an axis of volumes as they are read leads to, and its reverse

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What of a pair would have to be read in another way; nothing by itself."""

    axes: str | None = None  # of the volume, as `data.ct_axes` has it
    turn: int = 0  # degrees more, clockwise, of both views
    swapped: bool = False  # the views
    inverted: bool = False  # their grey values

    @property
    def changes(self) -> int:
        """How many things."""
        return sum((self.axes is not None, self.turn != 0, self.swapped, self.inverted))


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """That a pair is not read as it is meant."""

    correlation: float  # of the views with the volume, as they are read
    better: float  # of the other readings
    readings: tuple[Reading, ...]  # that fit about equally well


def doubt(xrays: Array, volume: Array, axes: str = "IPL") -> Doubt | None:
    """How a pair would fit together clearly better; None where it fits about as well as it can.

    Args:
        xrays: (2, S, S), the front view first.
        volume: (1, D, H, W), from head to feet, front to back, right to left.
        axes: what the stored volume's axes were taken for.
    """
    views = _smaller(xrays, torch.nn.functional.adaptive_avg_pool2d)
    sums = _smaller(volume, torch.nn.functional.adaptive_avg_pool3d)[0]
    found = [(reading, _fit(*pair)) for reading, pair in _readings(views, sums, axes)]
    found += [(replace(one, inverted=True), -correlation) for one, correlation in found]
    as_read = found[0][1]
    # Each change must be worth its while.
    best = max(found, key=lambda one: one[1] - _AS_GOOD * one[0].changes)
    if best[1] - as_read <= CLEARLY:
        return None
    alike = [
        reading
        for reading, correlation in found
        if correlation > best[1] - _AS_GOOD and reading.changes == best[0].changes
    ]
    return Doubt(correlation=math.tanh(as_read), better=math.tanh(best[1]), readings=tuple(alike))


def _smaller(values: Array, mean: Callable[[torch.Tensor, int], torch.Tensor]) -> Array:
    """Views or a volume of a few pixels a side, by means; the first axis stays."""
    side = min(_SIDE, *values.shape[1:])
    return np.asarray(mean(torch.from_numpy(np.array(values, dtype=np.float32)), side).numpy())


def _readings(
    views: Array, volume: Array, axes: str
) -> Iterator[tuple[Reading, tuple[Array, Array]]]:
    """All that are tried, as they are read first, each with its views and its volume."""
    yield Reading(), (views, volume)
    for turn in (90, 180, 270):
        yield Reading(turn=turn), (np.rot90(views, -turn // 90, axes=(1, 2)), volume)
    yield Reading(swapped=True), (views[::-1], volume)
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            if order == (0, 1, 2) and not any(flips):
                continue
            other = np.flip(
                volume.transpose(order), tuple(i for i, flip in enumerate(flips) if flip)
            )
            yield Reading(axes=_letters(axes, order, flips)), (views, other)


def _letters(axes: str, order: tuple[int, ...], flips: tuple[bool, ...]) -> str:
    """The stored axes, were the volume's axes `order` with some in reverse."""
    letters = []
    for letter in axes:
        place = next(place for place, pair in enumerate(_LEADS) if letter in pair)
        now = order.index(place)
        reverse = (letter == _LEADS[place][1]) != flips[now]
        letters.append(_LEADS[now][int(reverse)])
    return "".join(letters)


def _fit(views: Array, volume: Array) -> float:
    """How well both views correlate with the volume added up along their rays, as Fisher's z."""
    pairs = ((views[0], volume.mean(axis=1)), (views[1], volume.mean(axis=2)))
    mean = np.mean([_correlation(one, other) for one, other in pairs])
    return math.atanh(float(np.clip(mean, -_HIGHEST, _HIGHEST)))


def _correlation(view: Array, sums: Array) -> float:
    side = min(*view.shape, *sums.shape)
    one, other = (
        torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(np.array(each))[None], side)
        .double()
        .numpy()
        .ravel()
        for each in (view, sums)
    )
    if not (one.std() > 0 and other.std() > 0):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
