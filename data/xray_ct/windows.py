"""Windows that tile a volume, for networks that see a patch of it at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Corner = tuple[int, int, int]


def window_corners(
    extent: Sequence[int], patch: int | Sequence[int], overlap: float
) -> list[Corner]:
    """The first voxels of windows that together cover every voxel, in the order of the axes.

    Along an axis windows begin every patch · (1 − overlap) voxels, at least one; the last one is
    flush with the volume's end, so it may overlap its neighbour more than asked for.

    Args:
        extent: (D, H, W) voxels of the volume.
        patch: voxels of a window along every axis, or (d, h, w); none longer than the volume.
        overlap: share of a window that the next one covers as well, 0 ≤ overlap < 1.

    Raises:
        ValueError: a window is empty or longer than the volume, or the overlap is out of range.
    """
    sides = (patch,) * 3 if isinstance(patch, int) else tuple(patch)
    if len(extent) != 3 or len(sides) != 3:
        raise ValueError(f"found extent {tuple(extent)} and patch {sides}, expected three axes")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap: found {overlap:g}, expected 0 or more and less than 1")
    starts = [_starts(*lengths, overlap) for lengths in zip(extent, sides, strict=True)]
    return [(d, h, w) for d, h, w in itertools.product(*starts)]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    if not 1 <= side <= length:
        raise ValueError(f"patch: found {side}, expected 1 to {length}, the volume's length")
    last = length - side
    step = max(1, round(side * (1 - overlap)))
    return [*range(0, last, step), last]
