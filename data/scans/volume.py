"""A CT volume as the preparation sees it, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A scan's axial slices, upright: row 0 is anterior, column 0 the patient's right."""

    slices: NDArray[np.float32]  # (slices, rows, columns) from feet to head, the scan's own units
    spacing: tuple[float, float]  # millimetres between rows, and between columns
    thickness: float  # millimetres between slices


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A volume that has been found and not yet read."""

    name: str  # for messages, and for the record of where a data set comes from
    patient: str  # scans with the same one must stay in the same split
    read: Callable[[], Volume]  # raises DataError


def axial(values: NDArray[np.float32], affine: NDArray[np.float64]) -> Volume:
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
    return Volume(
        slices=np.ascontiguousarray(upright, dtype=np.float32),
        spacing=(float(sizes[1]), float(sizes[0])),
        thickness=float(sizes[2]),
    )
