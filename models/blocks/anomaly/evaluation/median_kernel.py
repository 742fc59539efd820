"""The cubic median filter by a histogram that moves along with its window.

Huang, Yang and Tang, "A fast two-dimensional median filtering algorithm", 1979, in three
dimensions and exact: the histogram has a bin for each exponent and the first bits of the mantissa,
and within the median's bin the window's values themselves decide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.blocks.compiled import compiled

Bits = NDArray[np.int32]  # of float32 that are not negative: in the order of their values

_SHIFT = 18
_BINS = 1 << (31 - _SHIFT)


@compiled
def _within_bin(
    padded: Bits, z: int, y: int, x: int, size: int, number: int, rank: int, values: Bits
) -> int:
    """The value that `rank` others in the window and in this bin stay below."""
    count = 0
    for dz in range(size):
        for dy in range(size):
            for dx in range(size):
                value = padded[z + dz, y + dy, x + dx]
                if value >> _SHIFT == number:
                    position = count
                    while position > 0 and values[position - 1] > value:
                        values[position] = values[position - 1]
                        position -= 1
                    values[position] = value
                    count += 1
    return values[rank]


@compiled
def _fill(histogram: NDArray[np.int16], padded: Bits, z: int, y: int, size: int) -> None:
    """Start a line: the histogram of its first window."""
    histogram[:] = 0
    for dz in range(size):
        for dy in range(size):
            for x in range(size):
                histogram[padded[z + dz, y + dy, x] >> _SHIFT] += 1


@compiled
def _slide(
    histogram: NDArray[np.int16], padded: Bits, z: int, y: int, x: int, size: int, number: int
) -> int:
    """Move the window from x − 1 to x; how many more values are before bin `number` now."""
    more = 0
    for dz in range(size):
        for dy in range(size):
            gone = padded[z + dz, y + dy, x - 1] >> _SHIFT
            new = padded[z + dz, y + dy, x + size - 1] >> _SHIFT
            histogram[gone] -= 1
            histogram[new] += 1
            more += (new < number) - (gone < number)
    return more


@compiled
def _median_line(
    padded: Bits,
    z: int,
    y: int,
    size: int,
    histogram: NDArray[np.int16],
    values: Bits,
    found: Bits,
) -> None:
    middle = size**3 // 2
    _fill(histogram, padded, z, y, size)
    number, below = 0, 0  # the median's bin, and how many values are in those before
    for x in range(found.shape[0]):
        if x > 0:
            below += _slide(histogram, padded, z, y, x, size, number)
        while below > middle:
            number -= 1
            below -= histogram[number]
        while below + histogram[number] <= middle:
            below += histogram[number]
            number += 1
        if number > 0:
            found[x] = _within_bin(padded, z, y, x, size, number, middle - below, values)


@compiled
def median_lines(padded: Bits, wanted: NDArray[np.bool_], size: int, found: Bits) -> None:
    """Write the medians of all windows of the wanted lines to `found`.

    Values below 2⁻¹²⁶, which have no exponent of their own, count as zero.

    Args:
        padded: (Z + size − 1, Y + size − 1, X + size − 1), with size // 2 more on each side.
        wanted: (Z, Y).
        found: (Z, Y, X), zeros.
    """
    histogram = np.zeros(_BINS, np.int16)
    values = np.empty(size**3, np.int32)
    for z in range(found.shape[0]):
        for y in range(found.shape[1]):
            if wanted[z, y]:
                _median_line(padded, z, y, size, histogram, values, found[z, y])
