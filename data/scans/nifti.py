"""Volumes from NIfTI files."""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from data.scans.volume import Scan, UprightVolume, axial
from protocol.errors import DataError

SUFFIXES = (".nii", ".nii.gz")


def is_nifti(path: Path) -> bool:
    """Whether the name says so."""
    return path.name.endswith(SUFFIXES)


def nifti_files(source: Path, otherwise: str = "a folder of such files") -> list[Path]:
    """The NIfTI files that a path names: itself, or those in the folder, but for hidden ones.

    Args:
        source: a file or a folder.
        otherwise: what a user may name beside a file.

    Raises:
        DataError: there is no such path, or it is a file of another kind.
    """
    if source.is_dir():
        paths = [path for path in source.rglob("*") if path.is_file() and is_nifti(path)]
        return sorted(path for path in paths if not path.name.startswith("."))
    if not source.exists():
        raise DataError(f"there is no file or folder {source}; check --source")
    if not is_nifti(source):
        raise DataError(
            f"{source} is not a NIfTI file by its name (.nii or .nii.gz); name one, or {otherwise}"
        )
    return [source]


def nifti_scan(path: Path) -> Scan:
    """One file, one scan, one patient."""
    return Scan(name=path.name, patient=str(path), read=partial(_read, path))


def _read(path: Path) -> UprightVolume:
    return axial(*read_nifti(path))


def read_nifti(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The voxels (a, b, c) as stored, and the affine (4, 4) from indices to millimetres.

    Raises:
        DataError: the file is missing, damaged, not NIfTI, or not one volume of numbers.
    """
    try:
        _check_sum(path)
        image = nibabel.loadsave.load(path)
        if not isinstance(image, nibabel.nifti1.Nifti1Pair):
            raise DataError(f"{path} is {type(image).__name__}, expected NIfTI; convert it")
        shape = _three_axes(path, image.shape)
        if image.get_data_dtype().kind not in "iuf" or image.affine is None:
            raise DataError(f"{path} holds {image.get_data_dtype()} voxels, expected numbers")
        values = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
        affine = np.asarray(image.affine, dtype=np.float64)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}; check the path") from error
    except ImageFileError as error:
        raise DataError(
            f"{path} is not a NIfTI file, though its name says so; copy or export it again"
        ) from error
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise DataError(
            f"{path} is truncated or damaged ({error}); copy or download it again"
        ) from error
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise DataError(f"{path}: the voxel size in its header is not usable; export it again")
    return values, affine


def _check_sum(path: Path) -> None:
    """Read a compressed file to its end, where its check sum is.

    nibabel stops at the last voxel, and would take a flipped bit for data.
    """
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass


def _three_axes(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(
            f"{path} has {len(shape)} axes {shape}, expected one volume of three; split it first"
        )
    return shape[0], shape[1], shape[2]
