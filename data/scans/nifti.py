"""Volumes from NIfTI files."""

from __future__ import annotations

import gzip
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

from data.reading import reading
from data.scans.volume import StoredVolume
from protocol.errors import DataError

SUFFIXES = (".nii", ".nii.gz")
_HEADER: dict[type, int] = {  # bytes before voxels
    nibabel.nifti1.Nifti1Image: 352,
    nibabel.nifti2.Nifti2Image: 544,
}
_MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
# What nibabel notices of a header it also prints; it is told in a sentence here.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
_SAME_AXES = 0.02  # relative: by which the header's two transforms may differ


def read_nifti(path: Path) -> StoredVolume:
    """Read one volume of numbers.

    Raises:
        DataError: the file is missing, damaged, not NIfTI, or not one volume of numbers.
    """
    with reading(path, "a NIfTI file", way="copy or download it again"):
        size = _size(path)
        image, shape = _opened(path)
        _check_extent(path, image, size)
        values = _scaled(image, shape)
    return StoredVolume(values, _affine(path, image), _remarks(image))


@dataclass(frozen=True)
class NiftiHeader:
    """What a file's header says of its volume."""

    shape: tuple[int, int, int]  # along the axes as stored
    affine: NDArray[np.float64]  # as of a StoredVolume
    remarks: tuple[str, ...]


def read_header(path: Path) -> NiftiHeader:
    """The header of one volume of numbers, whose voxels are not looked at.

    Raises:
        DataError: the file is missing, not NIfTI, or not one volume of numbers.
    """
    with reading(path, "a NIfTI file", way="copy or download it again"):
        image, shape = _opened(path)
    return NiftiHeader(shape, _affine(path, image), _remarks(image))


def _opened(path: Path) -> tuple[nibabel.nifti1.Nifti1Pair, tuple[int, int, int]]:
    image = nibabel.loadsave.load(path)
    if not isinstance(image, nibabel.nifti1.Nifti1Pair):
        raise DataError(f"{path} is {type(image).__name__}, expected NIfTI; convert it")
    shape = _three_axes(path, image.shape)
    if image.get_data_dtype().kind not in "iuf" or image.affine is None:
        raise DataError(f"{path} holds {image.get_data_dtype()} voxels, expected numbers")
    return image, shape


def _scaled(image: nibabel.nifti1.Nifti1Pair, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """The voxels' values, slice by slice: all at once would take them in double precision too."""
    stored = image.dataobj
    assert isinstance(stored, ArrayProxy), "it was loaded"
    raw = stored.get_unscaled().reshape(shape, order="F")
    values = np.empty(shape, dtype=np.float32, order="F")
    for number in range(shape[2]):
        values[..., number] = raw[..., number] * np.float64(stored.slope) + stored.inter
    return values


def _affine(path: Path, image: nibabel.nifti1.Nifti1Pair) -> NDArray[np.float64]:
    """From indices to millimetres, whatever unit the header is in."""
    affine = np.array(image.affine, dtype=np.float64)
    scale = _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    affine[:3] *= scale
    usable = np.isfinite(affine).all() and np.linalg.det(affine[:3, :3]) != 0
    if int(image.header["sform_code"]) == 0:
        usable = usable and bool(np.all(_stored_sizes(path, image) > 0))
    if not usable:
        raise DataError(f"{path}: the voxel size in its header is not usable; export it again")
    return affine


def _stored_sizes(path: Path, image: nibabel.nifti1.Nifti1Pair) -> NDArray[np.float64]:
    """The voxel size as it stands in the file: nibabel takes zero for one."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        header = type(image.header).from_fileobj(file, check=False)
    return np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))


def _remarks(image: nibabel.nifti1.Nifti1Pair) -> tuple[str, ...]:
    header = image.header
    qform, sform = int(header["qform_code"]), int(header["sform_code"])
    if qform == sform == 0:
        return ("the header does not say how it lies, so that left and right are a guess",)
    if qform and sform:
        try:
            one, other = header.get_qform()[:3, :3], header.get_sform()[:3, :3]
        except ValueError:  # of a quaternion that is none
            return ("the header's qform is damaged; the sform was taken",)
        if np.abs(one - other).max() > _SAME_AXES * np.abs(other).max():
            return ("the header's qform and sform disagree on how it lies; the sform was taken",)
    return ()


def _size(path: Path) -> int:
    """Bytes of the file, uncompressed; a compressed one is read to its end, where its check sum is.

    nibabel stops at the last voxel, and would take a flipped bit for data.
    """
    if path.suffix.lower() != ".gz":
        return path.stat().st_size
    size = 0
    with gzip.open(path) as file:
        while piece := file.read(1 << 20):
            size += len(piece)
    return size


def _check_extent(path: Path, image: nibabel.nifti1.Nifti1Pair, size: int) -> None:
    """Refuse a header that promises more than the file has, before memory is taken for it."""
    first = _HEADER.get(type(image))
    if first is None:  # of a pair of files
        return
    assert isinstance(image.dataobj, ArrayProxy), "it was loaded"
    offset = int(image.dataobj.offset)
    if offset < first:
        raise DataError(
            f"{path}: its header says that voxels begin at byte {offset}, where the header itself "
            "is; export it again"
        )
    promised = offset + math.prod(image.shape) * image.get_data_dtype().itemsize
    if promised > size:
        raise DataError(
            f"{path} is truncated or damaged: its header promises {promised} bytes, and it has "
            f"{size}; copy or download it again"
        )


def _three_axes(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        way = "; split it first" if len(shape) > 3 else ""
        raise DataError(f"{path} has {len(shape)} axes {shape}, expected one volume of three{way}")
    return shape[0], shape[1], shape[2]
