"""Slices stacked where they lie: copies dropped, gaps and mixtures refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protocol.errors import DataError

_SAME = 0.01  # mm within which two slices lie at one position
_STRAY = 0.5  # mm by which a slice may lie beside the line of the others
_EVEN = 0.02  # of the usual step by which a step may differ as if there were no difference
_UNEVEN = 0.25  # of it, up to which slices are interpolated to even steps; beyond, some are missing
_NAMED = 5  # positions in a message


@dataclass(frozen=True)
class Stack:
    """Slices at even steps."""

    values: NDArray[np.float32]  # (rows, columns, slices)
    corner: NDArray[np.float64]  # (3,) mm, of the first slice
    step: NDArray[np.float64]  # (3,) mm from a slice to the next; oblique where a gantry is tilted
    remarks: tuple[str, ...]


def checked_stack(
    paths: Sequence[Path],
    corners: NDArray[np.float64],
    normal: NDArray[np.float64],
    pixels: Callable[[int], NDArray[np.float32]],
) -> Stack:
    """Stack slices in the order of their positions.

    Args:
        paths: of the slices, for messages.
        corners: (slices, 3) mm, where each slice's first pixel lies.
        normal: (3,) unit vector perpendicular to all of them.
        pixels: reads a slice: (rows, columns).

    Raises:
        DataError: slices are missing, lie beside the others, or differ at one position.
    """
    heights = corners @ normal
    order = np.argsort(heights, kind="stable")
    kept, images = _without_copies(paths, heights, order, pixels)
    remarks = []
    if len(kept) < len(order):
        remarks.append(f"{len(order) - len(kept)} slices are copies of others, and were dropped")
    corners, heights = corners[kept], heights[kept]
    if len(kept) == 1:
        return Stack(images[0][..., None], corners[0], normal, tuple(remarks))
    step = (corners[-1] - corners[0]) / (len(kept) - 1)
    along = (heights - heights[0]) / (heights[-1] - heights[0])
    _refuse_strays([paths[number] for number in kept], corners, along)
    values = np.stack(images, axis=-1)
    if _unevenness(heights) > _EVEN:
        _refuse_gaps(paths[kept[0]], heights)
        remarks.append("its slices lie at uneven steps, and were interpolated to even ones")
        values = _evened(values, along)
    return Stack(values, corners[0], step, tuple(remarks))


def _without_copies(
    paths: Sequence[Path],
    heights: NDArray[np.float64],
    order: NDArray[np.intp],
    pixels: Callable[[int], NDArray[np.float32]],
) -> tuple[list[int], list[NDArray[np.float32]]]:
    """The slices in order, one a position, and their pixels."""
    kept: list[int] = []
    images: list[NDArray[np.float32]] = []
    for number in map(int, order):
        image = pixels(number)
        if kept and heights[number] - heights[kept[-1]] < _SAME:
            if not np.array_equal(image, images[-1]):
                raise DataError(
                    f"{paths[number]} and {paths[kept[-1]].name} of one series lie at the same "
                    f"position ({heights[number]:.2f} mm) and show different things: several "
                    "phases or reconstructions in one series; export them as series of their own"
                )
            continue
        kept.append(number)
        images.append(image)
    return kept, images


def _refuse_strays(
    paths: Sequence[Path], corners: NDArray[np.float64], along: NDArray[np.float64]
) -> None:
    """All corners must lie on one line, or the slices are shifted against each other."""
    line = corners[0] + along[:, None] * (corners[-1] - corners[0])
    away = np.linalg.norm(corners - line, axis=1)
    worst = int(np.argmax(away))
    if away[worst] > _STRAY:
        raise DataError(
            f"{paths[worst]} lies {away[worst]:.1f} mm beside the line of its series' other "
            "slices; remove it, or export the series again"
        )


def _unevenness(heights: NDArray[np.float64]) -> float:
    """The largest difference of a step from the usual one, relative to that."""
    steps = np.diff(heights)
    usual = np.median(steps)
    return float(np.abs(steps - usual).max() / usual)


def _refuse_gaps(first: Path, heights: NDArray[np.float64]) -> None:
    steps = np.diff(heights)
    usual = float(np.median(steps))
    if _unevenness(heights) <= _UNEVEN:
        return
    wide = np.flatnonzero(steps > usual * (1 + _UNEVEN))
    missing = [
        float(heights[number] + usual * k)
        for number in wide
        for k in range(1, max(2, round(float(steps[number]) / usual)))
    ]
    if not missing:
        raise DataError(
            f"the series of {first} has slices closer to each other than its usual "
            f"{usual:.2f} mm; remove those of another reconstruction, or export it again"
        )
    named = ", ".join(f"{place:.1f}" for place in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    raise DataError(
        f"the series of {first} lacks slices at {named}{more} mm, its others being "
        f"{usual:.2f} mm apart; what is missing would shift all the rest: export it again"
    )


def _evened(values: NDArray[np.float32], along: NDArray[np.float64]) -> NDArray[np.float32]:
    """Slices between the first and the last at even steps, each mixed of its two neighbours."""
    wanted = np.linspace(0.0, 1.0, len(along))
    above = np.clip(np.searchsorted(along, wanted), 1, len(along) - 1)
    share = (wanted - along[above - 1]) / (along[above] - along[above - 1])
    mixed = values[..., above - 1] * (1 - share) + values[..., above] * share
    return mixed.astype(np.float32)
