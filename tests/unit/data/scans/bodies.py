"""A lopsided body of known places, sampled on any grid, and where it came to lie."""

from __future__ import annotations

import numpy as np

BONE = np.array([-40.0, 30.0, 35.0])  # mm to the right, anterior, superior


def body(points: np.ndarray) -> np.ndarray:
    """HU at points (…, 3): an ellipsoid of muscle with a ball of bone, in air."""
    inside = (points / np.array([90.0, 70.0, 80.0])) ** 2
    values = np.where(inside.sum(-1) < 1, 40.0, -1000.0)
    return np.where(((points - BONE) ** 2).sum(-1) < 14.0**2, 1000.0, values)


def sampled(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The body on a grid: (a, b, c) voxels of `affine`."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return body(index @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32)


def centred(matrix: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(4, 4): `matrix` with the middle of the volume at the origin."""
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = -matrix @ ((np.array(shape) - 1) / 2)
    return affine


def bone_of(volume) -> np.ndarray:
    """mm to the right, anterior and superior of the middle of the bone that was read."""
    index = np.argwhere(volume.values > 500).mean(axis=0)
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


def depth_of(volume) -> float:
    """mm from front to back of all that is not air."""
    rows = np.flatnonzero((volume.values > -500).any(axis=(0, 2)))
    return (rows[-1] - rows[0] + 1) * volume.voxel_size[1]
