"""Drawing smooth-edged shapes on a pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Blob:
    """An ellipse whose outline may wave.

    Lengths are in half widths of the image: (0, 0) is its middle and (1, 1) its lower right
    corner. The outline is at the fraction 1 + Σ amplitude·cos(order·θ + phase) of the ellipse.
    """

    centre: tuple[float, float]  # (down, right)
    radii: tuple[float, float]  # (down, right) before turning
    turn: float = 0.0  # radians
    waves: tuple[tuple[int, float, float], ...] = ()  # (order, amplitude, phase)


def paint(image: NDArray[np.float32], blob: Blob, value: float) -> None:
    """Fill the blob with `value`, in place; edge pixels are mixed by how much of them it covers.

    Args:
        image: (N, N).
    """
    found = coverage(blob, len(image))
    if found is not None:
        window, covered = found
        image[window] += covered * (np.float32(value) - image[window])


def coverage(blob: Blob, size: int) -> tuple[tuple[slice, slice], NDArray[np.float32]] | None:
    """How much of each pixel of a size×size grid the blob covers, 0 to 1, within its window.

    The covered share is taken as linear in the distance from the outline, which is estimated to
    first order from the outline's implicit equation; None if the blob is off the grid.
    """
    window = _window(blob, size)
    if window is None:
        return None
    pixel = 2 / size
    rows, columns = (
        ((np.arange(part.start, part.stop) + 0.5) * pixel - 1 - middle).astype(np.float32)
        for part, middle in zip(window, blob.centre, strict=True)
    )
    down, right = np.meshgrid(rows, columns, indexing="ij", sparse=True)
    cosine, sine = np.float32(np.cos(blob.turn)), np.float32(np.sin(blob.turn))
    u = (down * cosine + right * sine) / np.float32(blob.radii[0])
    v = (right * cosine - down * sine) / np.float32(blob.radii[1])
    radius = np.sqrt(u * u + v * v)
    outline = np.ones_like(radius)
    if blob.waves:  # the angle costs more than all the rest
        angle = np.arctan2(v, u)
        for order, amplitude, phase in blob.waves:
            outline += np.float32(amplitude) * np.cos(order * angle + np.float32(phase))
    gradient = np.sqrt((u / blob.radii[0]) ** 2 + (v / blob.radii[1]) ** 2)
    distance = (radius - outline) * radius / np.maximum(gradient, np.float32(1e-6))
    # At the very middle the estimate degenerates to zero distance; it is inside.
    inside = np.clip(0.5 - distance / np.float32(pixel), 0, 1)
    return window, np.where(radius < 1e-3, 1, inside).astype(np.float32)


def _window(blob: Blob, size: int) -> tuple[slice, slice] | None:
    """The part of the grid that holds the blob, one pixel wider."""
    swell = 1 + sum(abs(amplitude) for _, amplitude, _ in blob.waves)
    cosine, sine = np.cos(blob.turn), np.sin(blob.turn)
    reach = (
        swell * np.hypot(blob.radii[0] * cosine, blob.radii[1] * sine),
        swell * np.hypot(blob.radii[0] * sine, blob.radii[1] * cosine),
    )
    parts = []
    for middle, half in zip(blob.centre, reach, strict=True):
        low = max(0, int(np.floor((middle - half + 1) * size / 2)) - 1)
        high = min(size, int(np.ceil((middle + half + 1) * size / 2)) + 1)
        if low >= high:
            return None
        parts.append(slice(low, high))
    return parts[0], parts[1]
