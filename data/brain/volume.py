"""Upright brain volumes: (slices, rows, columns), and back to NIfTI files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from data.scans.nifti import read_nifti
from data.scans.volume import axial

Millimetres = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Upright:
    """A volume whose axes are canonical, whatever the file's were.

    Slice 0 is the lowest, row 0 of a slice anterior, column 0 the patient's right.
    """

    values: NDArray[np.float32]  # (Z, H, W)
    voxel_size: Millimetres  # between slices, between rows, between columns


def read_upright(path: Path) -> Upright:
    """A NIfTI file's volume, turned upright by its affine.

    Raises:
        DataError: the file is missing, damaged, not NIfTI, or not one volume of numbers.
    """
    values, affine = read_nifti(path)
    volume = axial(values, affine)
    sides = nibabel.affines.voxel_sizes(affine)
    across = int(np.argmax(nibabel.orientations.io_orientation(affine)[:, 0] == 2))
    return Upright(values=volume.slices, voxel_size=(float(sides[across]), *volume.spacing))


def write_upright(path: Path, values: NDArray[np.generic], voxel_size: Millimetres) -> None:
    """Write (Z, H, W) as NIfTI with axes to the right, anterior and superior, centred on 0.

    Numbers that are not whole are stored as 16-bit steps of their range.
    """
    canonical = np.ascontiguousarray(np.transpose(values, (2, 1, 0))[::-1, ::-1, :])
    steps = np.array(voxel_size[::-1])
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(canonical.shape) - 1) / 2
    whole = canonical.dtype.kind in "bui"
    image = nibabel.nifti1.Nifti1Image(canonical.astype(np.uint8 if whole else np.float32), affine)
    if not whole:
        image.set_data_dtype(np.int16)  # nibabel chooses the scale
    nibabel.loadsave.save(image, path)
