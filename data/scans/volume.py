"""A scan's volume, whatever file it came from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Millimetres = tuple[float, float, float]  # between slices, between rows, between columns

_UPRIGHT = ("S", "P", "L")  # where slices, rows and columns of an upright volume lead to
MISPLACED = 1.0  # mm by which slices that are not quite axial may put a corner elsewhere


@dataclass(frozen=True)
class StoredVolume:
    """What a file holds, its axes as stored."""

    values: NDArray[np.float32]  # (a, b, c)
    affine: NDArray[np.float64]  # (4, 4), from indices to mm to the right, anterior and superior
    remarks: tuple[str, ...]  # what a user should know of its header


@dataclass(frozen=True, kw_only=True)
class UprightVolume:
    """A volume of axial slices, whatever the file's axes were.

    Slice 0 is the lowest, row 0 of a slice anterior, column 0 the patient's right.
    """

    values: NDArray[np.float32]  # (slices, rows, columns), in the file's own units
    voxel_size: Millimetres
    affine: NDArray[np.float64]  # (4, 4), from those to mm to the right, anterior and superior
    remarks: tuple[str, ...] = ()  # what a user should know of how it was read


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A volume that has been found and not yet read."""

    name: str  # for messages, and for the record of where a data set comes from
    patient: str  # scans with the same one must stay in the same split
    read: Callable[[], UprightVolume]  # raises DataError


def axial(
    values: NDArray[np.float32], affine: NDArray[np.float64], remarks: tuple[str, ...] = ()
) -> UprightVolume:
    """Turn a volume of any orientation so that its slices are axial and upright.

    Axes that are no more than oblique, or sheared as by a tilted gantry, are resampled linearly;
    what lies outside of them has the volume's lowest value.

    Args:
        values: (a, b, c).
        affine: (4, 4), from indices to millimetres to the right, anterior and superior.
        remarks: on how the file was read.
    """
    if _misplaced(values.shape, affine) > MISPLACED:
        angle = _obliqueness(affine)
        values, affine = _straightened(values, affine)
        told = f"its axes are up to {angle:.1f}° away from the patient's; it was resampled"
        remarks = (*remarks, told)
    to_upright = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(affine), nibabel.orientations.axcodes2ornt(_UPRIGHT)
    )
    upright = nibabel.orientations.apply_orientation(values, to_upright)
    right, anterior, superior = _sizes(affine)
    return UprightVolume(
        values=np.ascontiguousarray(upright, dtype=np.float32),
        voxel_size=(superior, anterior, right),
        affine=affine @ nibabel.orientations.inv_ornt_aff(to_upright, values.shape),
        remarks=remarks,
    )


def axial_extent(
    shape: tuple[int, int, int], affine: NDArray[np.float64]
) -> tuple[tuple[int, int, int], Millimetres]:
    """The slices, rows and columns that `axial` makes of such a volume, and the mm between them."""
    right, anterior, superior = _sizes(affine)
    if _misplaced(shape, affine) > MISPLACED:
        columns, rows, slices = _box(shape, affine)[1]
    else:
        towards = nibabel.orientations.io_orientation(affine)[:, 0].astype(int)
        columns, rows, slices = (
            shape[int(np.flatnonzero(towards == axis)[0])] for axis in range(3)
        )
    return (int(slices), int(rows), int(columns)), (superior, anterior, right)


def aligned(
    labels: NDArray[np.float32], affine: NDArray[np.float64], like: UprightVolume
) -> NDArray[np.float32]:
    """Labels on another volume's grid, each voxel that of the nearest; 0 outside of them.

    Args:
        labels: (a, b, c).
        affine: (4, 4), from indices to millimetres to the right, anterior and superior.
        like: the volume that they are drawn on.

    Returns:
        (slices, rows, columns) as `like` has.
    """
    to_index = np.linalg.inv(affine) @ like.affine
    return np.asarray(
        ndimage.affine_transform(
            labels,
            to_index[:3, :3],
            to_index[:3, 3],
            output_shape=like.values.shape,
            order=0,
            mode="constant",
            cval=0.0,
        ),
        dtype=np.float32,
    )


def _sizes(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Millimetres between voxels to the right, anterior and superior."""
    orientation = nibabel.orientations.io_orientation(affine)
    sizes = np.empty(3)
    # Voxel sizes follow their axes: orientation[a] tells where axis a went.
    sizes[orientation[:, 0].astype(int)] = nibabel.affines.voxel_sizes(affine)
    return float(sizes[0]), float(sizes[1]), float(sizes[2])


def _straight(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): the same voxel sizes along the patient's own axes that are nearest."""
    orientation = nibabel.orientations.io_orientation(affine)
    matrix = np.zeros((3, 3))
    for axis, size in enumerate(nibabel.affines.voxel_sizes(affine)):
        towards, sign = orientation[axis]
        matrix[int(towards), axis] = sign * size
    return matrix


def _misplaced(shape: tuple[int, ...], affine: NDArray[np.float64]) -> float:
    """Millimetres by which a corner would lie elsewhere, were the axes taken for the patient's."""
    half = np.array([(-(n - 1) / 2, (n - 1) / 2) for n in shape[:3]])
    corners = np.array(list(itertools.product(*half)))
    away = corners @ (affine[:3, :3] - _straight(affine)).T
    return float(np.linalg.norm(away, axis=1).max())


def _obliqueness(affine: NDArray[np.float64]) -> float:
    """The largest angle between an axis and the patient's own that is nearest, in degrees."""
    axes = affine[:3, :3] / nibabel.affines.voxel_sizes(affine)
    cosines = np.abs(np.sum(axes * np.sign(_straight(affine)), axis=0))
    return float(np.degrees(np.arccos(np.clip(cosines, 0.0, 1.0))).max())


def _box(
    shape: tuple[int, ...], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Voxels along the patient's axes around all of a volume: the first one's place, how many."""
    ends = np.array(list(itertools.product(*((0, n - 1) for n in shape))))
    corners = ends @ affine[:3, :3].T + affine[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    sizes = np.array(_sizes(affine))
    counts = np.ceil((high - low) / sizes - 1e-3).astype(np.int64) + 1
    return (low + high) / 2 - sizes * (counts - 1) / 2, counts


def _straightened(
    values: NDArray[np.float32], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The volume along the patient's axes to the right, anterior and superior, all of it."""
    first, counts = _box(values.shape, affine)
    upright = np.diag([*_sizes(affine), 1.0])
    upright[:3, 3] = first
    to_index = np.linalg.inv(affine) @ upright
    resampled = ndimage.affine_transform(
        values,
        to_index[:3, :3],
        to_index[:3, 3],
        output_shape=tuple(counts),
        order=1,
        mode="constant",
        cval=float(np.nanmin(values)),
    )
    return np.asarray(resampled, dtype=np.float32), upright
