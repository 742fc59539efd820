"""Upright brain volumes: (slices, rows, columns), and back to NIfTI files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from data.scans.files import read_volume
from data.scans.volume import Millimetres, UprightVolume, aligned, axial
from protocol.errors import DataError


def read_upright(path: Path) -> UprightVolume:
    """A NIfTI file's volume, turned upright by its affine.

    Raises:
        DataError: the file is missing, damaged, not NIfTI, or not one volume of numbers.
    """
    found = read_volume(path)
    return axial(found.values, found.affine, found.remarks)


def read_labels(path: Path, image_path: Path, image: UprightVolume) -> NDArray[np.bool_]:
    """A mask or segmentation on its image's grid, wherever the file's own voxels lie.

    Raises:
        DataError: the file is missing, damaged, not NIfTI, or lies beside the image.
    """
    found = read_volume(path)
    labels = aligned((found.values > 0).astype(np.float32), found.affine, image) > 0
    if not labels.any() and (found.values > 0).any():
        raise DataError(
            f"{path} lies beside {image_path} by what both headers say; draw it anew on that "
            "image, or export both again"
        )
    return labels


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
