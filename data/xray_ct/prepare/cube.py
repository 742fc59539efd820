"""Cutting the cube around a body out of a CT scan, as it lies or changed at random."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.scans.volume import Millimetres
from protocol.errors import DataError

AIR = -1024.0  # HU of what lies outside the scan
BODY = -500.0  # HU above which a voxel is no air
MARGIN = 0.03  # of the body's longest side, left free on each side of it
COARSE = 128  # places along a scan's longest side at which the body is looked for, about
THIN = 0.02  # of that side, twice which a body is thicker than

FILLED = 0.15  # of a scan's longest side that its shortest has at least

# How much a variant differs, at most: degrees about each axis, and shares of the cube's edge.
DEGREES, SCALE, SHIFT = 12.0, 0.15, 0.08

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Cube:
    """Where a cube lies in a scan."""

    centre: NDArray[np.float64]  # (3,) mm from the scan's first voxel's centre
    edge: float  # mm


@dataclass(frozen=True)
class Change:
    """What is done to a body; as it lies if nothing is given."""

    turn: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))  # mm in the cube → scan
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))  # shares of the edge


def body_cube(name: str, hu: Array, voxel_size: Millimetres, edge: float | None = None) -> Cube:
    """The cube around the largest connected thing that is not air.

    What is thinner than 4 % of the scan's longest side is not looked at, so that a couch's shell,
    or a tube, neither counts nor ties other things to the body. The cube's edge is the longest
    side of the body's box and a margin of 3 % at both ends, so that nothing of it is cut off.

    Args:
        name: of the scan, for messages.
        hu: (D, H, W).
        voxel_size: mm between slices, rows and columns.
        edge: mm, instead of the one found.

    Raises:
        DataError: there is nothing but air, or hardly more than a slice.
    """
    longest = max(count * mm for count, mm in zip(hu.shape, voxel_size, strict=True))
    every = [max(1, round(longest / COARSE / mm)) for mm in voxel_size]
    coarse = hu[:: every[0], :: every[1], :: every[2]] > BODY
    step = np.array(voxel_size) * every
    box = _largest(coarse, [int(THIN * longest / mm) for mm in step])
    if box is None:
        raise DataError(
            f"{name}: nothing is denser than {BODY:g} HU, expected a body; check "
            "--intensity_range, of which the first is air and the second dense bone"
        )
    thinnest = min(count * mm for count, mm in zip(hu.shape, voxel_size, strict=True))
    if thinnest < FILLED * longest:
        raise DataError(
            f"{name} is {thinnest:.3g} mm deep and {longest:.3g} mm long, expected a volume that "
            "fills a cube around the body; leave it out"
        )
    first = np.array([side.start for side in box]) * step
    last = np.array([side.stop - 1 for side in box]) * step
    side = float((last - first + step).max())
    return Cube(centre=(first + last) / 2, edge=edge or side * (1 + 2 * MARGIN))


def _largest(inside: NDArray[np.bool_], thin: list[int]) -> tuple[slice, ...] | None:
    """The box of the largest connected part that is thicker than twice `thin` voxels.

    If all is thin, it is that of the largest part of all.
    """
    thick = ndimage.binary_opening(inside, np.ones([2 * radius + 1 for radius in thin]))
    labels, count = ndimage.label(thick if thick.any() else inside)
    if count == 0:
        return None
    largest = int(np.argmax(np.bincount(labels.ravel())[1:]))
    box: tuple[slice, ...] = ndimage.find_objects(labels)[largest]
    return box


def cut(
    hu: Array, voxel_size: Millimetres, cube: Cube, size: int, change: Change | None = None
) -> Array:
    """Resample what is in a cube, linearly; what lies outside the scan is air.

    Where the new voxels are the larger ones, the scan is smoothed first, lest detail become
    aliasing.

    Args:
        hu: (D, H, W).
        voxel_size: mm between slices, rows and columns.
        cube: where to cut.
        size: voxels of the result's edge.
        change: of the body in it.

    Returns:
        (size, size, size).
    """
    change = change or Change()
    step = cube.edge / size  # mm of a new voxel
    blur = [max(0.0, (step / mm - 1) / 2) for mm in voxel_size]
    if any(blur):
        hu = ndimage.gaussian_filter(hu, blur, mode="nearest")
    # A new voxel's index → mm from the cube's middle → mm in the scan → the scan's index.
    to_index = np.diag(1 / np.array(voxel_size))
    matrix = to_index @ change.turn * step
    middle = to_index @ (cube.centre - change.turn @ change.shift * cube.edge)
    offset = middle - matrix @ np.full(3, (size - 1) / 2)
    return np.asarray(
        ndimage.affine_transform(
            hu, matrix, offset, output_shape=(size,) * 3, order=1, mode="constant", cval=AIR
        ),
        dtype=np.float32,
    )


def random_change(rng: np.random.Generator) -> Change:
    """Turned, scaled, moved within the cube, and mirrored left to right or not."""
    turn = np.diag([1.0, 1.0, rng.choice([-1.0, 1.0])])
    for axis, angle in enumerate(np.radians(rng.uniform(-DEGREES, DEGREES, 3))):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        rotation = np.eye(3)
        rotation[one, one] = rotation[other, other] = math.cos(angle)
        rotation[one, other], rotation[other, one] = -math.sin(angle), math.sin(angle)
        turn = turn @ rotation
    return Change(
        turn=turn / rng.uniform(1 - SCALE, 1 + SCALE), shift=rng.uniform(-SHIFT, SHIFT, 3)
    )
