"""A scan's volume, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray

Millimetres = tuple[float, float, float]  # between slices, between rows, between columns


@dataclass(frozen=True, kw_only=True)
class UprightVolume:
    """A volume of axial slices, whatever the file's axes were.

    Slice 0 is the lowest, row 0 of a slice anterior, column 0 the patient's right.
    """

    values: NDArray[np.float32]  # (slices, rows, columns), in the file's own units
    voxel_size: Millimetres


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A volume that has been found and not yet read."""

    name: str  # for messages, and for the record of where a data set comes from
    patient: str  # scans with the same one must stay in the same split
    read: Callable[[], UprightVolume]  # raises DataError


def axial(values: NDArray[np.float32], affine: NDArray[np.float64]) -> UprightVolume:
    """Turn a volume of any orientation so that its slices are axial and upright.

    Args:
        values: (a, b, c).
        affine: (4, 4), from indices to millimetres to the right, anterior and superior.
    """
    orientation = nibabel.orientations.io_orientation(affine)
    standing = nibabel.orientations.apply_orientation(values, orientation)
    # Voxel sizes follow their axes: orientation[a] tells where axis a went.
    sizes = np.empty(3)
    sizes[orientation[:, 0].astype(int)] = nibabel.affines.voxel_sizes(affine)
    upright = standing[::-1, ::-1, :].transpose(2, 1, 0)
    return UprightVolume(
        values=np.ascontiguousarray(upright, dtype=np.float32),
        voxel_size=(float(sizes[2]), float(sizes[1]), float(sizes[0])),
    )
