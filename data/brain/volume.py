"""Upright brain volumes: (slices, rows, columns), and back to NIfTI files."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A mask or segmentation as its file has it, brought to an image."""

    labels: NDArray[np.bool_]  # (slices, rows, columns) of the image
    to_the_edge: bool  # of the file's own grid, beyond which more may have been


def touches_edge(labels: NDArray[np.bool_]) -> bool:
    """Whether labels (a, b, c) reach a face of their grid."""
    return any(labels.take(end, axis=axis).any() for axis in range(3) for end in (0, -1))


def read_labels(path: Path, image_path: Path, image: UprightVolume) -> Drawn:
    """A mask or segmentation on its image's grid, wherever the file's own voxels lie.

    Raises:
        DataError: the file is missing, damaged, not NIfTI, or lies beside the image.
    """
    found = read_volume(path)
    stored = found.values > 0
    labels = aligned(stored.astype(np.float32), found.affine, image) > 0
    if not labels.any() and stored.any():
        raise DataError(
            f"{path} lies beside {image_path} by what both headers say; draw it anew on that "
            "image, or export both again"
        )
    return Drawn(labels=labels, to_the_edge=touches_edge(stored))


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
