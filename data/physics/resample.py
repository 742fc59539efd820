"""From a scan's slice to a square one on the simulation's grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def square_side(shape: tuple[int, int], spacing: tuple[float, float]) -> float:
    """Side of the smallest square, in millimetres, that holds the whole slice."""
    return max(shape[0] * spacing[0], shape[1] * spacing[1])


def resample_square(
    image: NDArray[np.float32], spacing: tuple[float, float], side: float, size: int
) -> NDArray[np.float32]:
    """Resample a slice to (size, size) pixels of a square around the slice's middle.

    What lies outside the slice is 0, air. Interpolation is bilinear, as LoDoPaB-CT's. Where the
    new pixels are the larger ones, the slice is smoothed first, lest detail become aliasing.

    Args:
        image: (rows, columns).
        spacing: millimetres between rows, and between columns.
        side: the square's, in millimetres.
    """
    steps = [side / size / between for between in spacing]  # in the slice's own pixels
    blur = [max(0.0, (step - 1) / 2) for step in steps]
    if any(blur):
        image = ndimage.gaussian_filter(image, blur, mode="nearest")
    offset = [
        (length - 1) / 2 - step * (size - 1) / 2
        for length, step in zip(image.shape, steps, strict=True)
    ]
    return ndimage.affine_transform(
        image, steps, offset=offset, output_shape=(size, size), order=1, mode="constant", cval=0.0
    ).astype(np.float32)
