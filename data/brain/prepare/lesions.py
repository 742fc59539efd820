"""Labelled synthetic lesions, so that an overlap with a segmentation can be measured.

A lesion is a bumpy ellipsoid within the brain whose tissue goes over, across a soft edge, to one
brighter or darker value, with some of its texture left. Small ones are the most frequent.
In T2 four of five are bright, in T1 four of five dark, as oedema, gliosis and most tumours are.
A lesion's segmentation is where more than half of the way to that value is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.brain.layout import Mode
from data.brain.prepare.settings import RADII

Rng = np.random.Generator
M = TypeVar("M", bound=Mode)

USUALLY_BRIGHT: dict[Mode, bool] = {"t1": False, "t2": True}
USUAL = 0.8
MOST_LESIONS = 3
SMALLEST = 3.0  # voxels, so that something is left at half the resolution
EDGES = (1.0, 4.0)  # millimetres over which a lesion fades
TEXTURE_LEFT = 0.3


def add_lesions(
    rng: Rng,
    images: Mapping[M, NDArray[np.float32]],
    mask: NDArray[np.bool_],
    voxel_size: tuple[float, float, float],
    radii: tuple[float, float] = RADII,
) -> tuple[dict[M, NDArray[np.float32]], NDArray[np.bool_]]:
    """One to three lesions at the same places in every contrast.

    Args:
        images: one subject's contrasts, (Z, H, W), any scale, zero outside the brain.
        mask: (Z, H, W), not empty.
        voxel_size: millimetres between slices, rows and columns.
        radii: the smallest and the largest, in millimetres, as far as the brain has room.

    Returns:
        The changed images, and the segmentation (Z, H, W), which is never empty.
    """
    changed = {mode: image.copy() for mode, image in images.items()}
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), voxel_size)[1:-1, 1:-1, 1:-1]
    segmentation = np.zeros_like(mask)
    for _ in range(rng.integers(1, MOST_LESIONS + 1)):
        share = _lesion(rng, depth, voxel_size, radii) * mask
        usual = rng.random() < USUAL
        for mode, image in changed.items():
            target = _target(rng, images[mode][mask], USUALLY_BRIGHT[mode] == usual)
            texture = TEXTURE_LEFT * (image - float(np.median(images[mode][mask])))
            image += share * (np.maximum(target + texture, 0) - image)
        segmentation |= share > 0.5
    return changed, segmentation


def _target(rng: Rng, brain: NDArray[np.float32], bright: bool) -> float:
    """A value near the bright or the dark end of what the brain has."""
    low, high = np.percentile(brain, [2, 98])
    place = rng.uniform(0.7, 1.05) if bright else rng.uniform(0.0, 0.35)
    return float(low + place * (high - low))


def _lesion(
    rng: Rng,
    depth: NDArray[np.float64],
    voxel_size: tuple[float, float, float],
    radii_allowed: tuple[float, float],
) -> NDArray[np.float32]:
    """The share of lesion in every voxel; above a half in one voxel at least."""
    deepest = float(depth.max())
    # Evenly drawn logarithms: as many of 3 to 6 mm as of 6 to 12.
    radius = float(np.exp(rng.uniform(*np.log(radii_allowed))))
    radius = max(min(radius, 0.6 * deepest), SMALLEST * float(np.prod(voxel_size)) ** (1 / 3))
    edge = rng.uniform(*EDGES)
    allowed = np.argwhere(depth >= min(radius * 0.8 + edge, deepest))
    centre = allowed[rng.integers(len(allowed))]
    radii = radius * rng.uniform(0.7, 1.2, 3)
    axes = [
        (np.arange(count) - middle) * size
        for count, middle, size in zip(depth.shape, centre, voxel_size, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    turn = rng.uniform(0, np.pi)
    y, x = np.cos(turn) * y - np.sin(turn) * x, np.sin(turn) * y + np.cos(turn) * x
    distance = np.sqrt((z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2)
    bumps = _bumps(rng, (z, y, x), radius)
    share = 1 / (1 + np.exp(np.clip((distance - 1 - bumps) * 4 * radius / edge, -30, 30)))
    share[tuple(centre)] = 1.0
    return share.astype(np.float32)


def _bumps(rng: Rng, at: tuple[NDArray[np.float64], ...], radius: float) -> NDArray[np.float64]:
    """What makes the border uneven, as a share of the radius."""
    total: NDArray[np.float64] = np.zeros(())
    for _ in range(4):
        waves = rng.normal(0, 1.5 / radius, 3)
        phase = sum(wave * axis for wave, axis in zip(waves, at, strict=True))
        total = total + 0.08 * np.sin(phase + rng.uniform(0, 2 * np.pi))
    return total
