"""Volumes at another number of voxels: linear, and smoothed first where they get fewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


def resize_volume(values: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """The same volume in `shape` voxels, whatever its own; each axis is stretched by itself.

    The first and last voxels' outer faces stay where they are. Interpolation is linear; along an
    axis that gets fewer voxels a triangle as wide as two new voxels takes the mean (antialiasing).

    Args:
        values: (D, H, W).

    Returns:
        An array of `shape`; the argument itself if it is of that shape.
    """
    for axis, length in enumerate(shape):
        if values.shape[axis] != length:
            moved = np.tensordot(_weights(values.shape[axis], length), values, axes=(1, axis))
            values = np.moveaxis(moved, 0, axis)
    return np.ascontiguousarray(values, dtype=np.float32)


def _weights(old: int, new: int) -> NDArray[np.float32]:
    """(new, old); how torch resizes the rows of an identity says what it takes of each."""
    rows = torch.eye(old)[None, None]
    resized = torch.nn.functional.interpolate(
        rows, size=(new, old), mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0, 0].numpy()
