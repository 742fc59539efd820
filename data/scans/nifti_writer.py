"""Volumes as NIfTI files."""

from __future__ import annotations

import gzip
import io
from typing import Literal

import nibabel
import numpy as np
from numpy.typing import NDArray

Number = Literal["int16", "float32"]

_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT: the axes are those of the patient
_SAME = 1e-3  # mm
_LEVEL = 6  # of compression


def nifti_bytes(
    hu: NDArray[np.float32],
    voxel_size: tuple[float, float, float],
    *,
    number: Number = "int16",
    compressed: bool = True,
) -> bytes:
    """A NIfTI-1 file of a CT volume, its axes turned to right, anterior and superior.

    The middle of the volume is at the origin. Both transforms of the header are set, and its unit.

    Args:
        hu: (D, H, W), from head to feet, front to back, the patient's right to the left.
        voxel_size: mm along the same axes.
        number: how voxels are stored; int16 rounds to whole HU.
        compressed: for a name that ends in .nii.gz; the same volume gives the same bytes.
    """
    turned = np.ascontiguousarray(hu.transpose(2, 1, 0)[::-1, ::-1, ::-1])
    values = turned.astype(np.float32) if number == "float32" else _whole(turned)
    steps = np.array(voxel_size[::-1], dtype=np.float64)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(values.shape) - 1) / 2
    return stored_bytes(values, affine, compressed=compressed)


def stored_bytes(
    values: NDArray[np.generic], affine: NDArray[np.float64], *, compressed: bool = True
) -> bytes:
    """A NIfTI-1 file of a volume on a given grid, its numbers as they are.

    A sheared grid stands in the header's sform alone, for the qform cannot say it.

    Args:
        values: (a, b, c).
        affine: (4, 4), from indices to mm to the right, anterior and superior.
        compressed: for a name that ends in .nii.gz; the same volume gives the same bytes.
    """
    image = nibabel.nifti1.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=_SCANNER)
    if not np.allclose(image.get_qform(), affine, rtol=0, atol=_SAME):
        image.set_qform(None, code=0)
    image.set_sform(affine, code=_SCANNER)
    content = image.to_bytes()
    if not compressed:
        return content
    stream = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=stream, mtime=0) as file:
        file.write(content)
    return stream.getvalue()


def _whole(hu: NDArray[np.float32]) -> NDArray[np.int16]:
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(hu), limits.min, limits.max).astype(np.int16)
