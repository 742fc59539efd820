"""Volumes from one file each: NIfTI, and through libraries FreeSurfer's, NRRD and MetaImage."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import nibabel
import numpy as np

from data.reading import reading
from data.scans.nifti import SUFFIXES as NIFTI
from data.scans.nifti import read_nifti
from data.scans.volume import Scan, StoredVolume, UprightVolume, axial
from data.scans.walk import files_below
from protocol.errors import DataError

FREESURFER = (".mgz", ".mgh")
ITK = (".nrrd", ".mha", ".mhd")
SUFFIXES = (*NIFTI, *FREESURFER, *ITK)
_SUFFIX = re.compile(rf"({'|'.join(map(re.escape, SUFFIXES))})$", re.IGNORECASE)


def is_volume(path: Path) -> bool:
    """Whether the name says that the file holds a volume."""
    return path.name.lower().endswith(SUFFIXES)


def stem_of(name: str) -> str:
    """A file's name without what says that it is a volume's."""
    return _SUFFIX.sub("", name)


def named_file(source: Path, otherwise: str) -> Path:
    """The volume's file that a path names.

    Args:
        source: no folder.
        otherwise: what a user may name instead.

    Raises:
        DataError: there is no such path, or it is a file of another kind.
    """
    if not source.exists():
        raise DataError(f"there is no file or folder {source}; check --source")
    if not is_volume(source):
        raise DataError(
            f"{source} is not a volume's file by its name ({', '.join(SUFFIXES)}); name one, or "
            f"{otherwise}"
        )
    return source


def volume_files(source: Path) -> list[Path]:
    """The volumes' files that a path names: itself, or those below the folder.

    Raises:
        DataError: there is no such path, it is a file of another kind, or may not be read.
    """
    if source.is_dir():
        return [path for path in files_below(source) if is_volume(path) and path.is_file()]
    return [named_file(source, "a folder of such files")]


def file_scan(path: Path, patient: str) -> Scan:
    """A file's volume, of that patient."""
    # A name's bytes need not be text that can be written anywhere.
    name = path.name.encode(errors="backslashreplace").decode()
    return Scan(name=name, patient=patient, read=partial(_read, path))


def _read(path: Path) -> UprightVolume:
    found = read_volume(path)
    return axial(found.values, found.affine, found.remarks)


def read_volume(path: Path) -> StoredVolume:
    """Read one volume of numbers.

    Raises:
        DataError: the file is missing, damaged, of another kind, or not one volume of numbers.
    """
    name = path.name.lower()
    if name.endswith(FREESURFER):
        return _freesurfer(path)
    return _itk(path) if name.endswith(ITK) else read_nifti(path)


def _freesurfer(path: Path) -> StoredVolume:
    with reading(path, "a FreeSurfer volume"):
        image = nibabel.loadsave.load(path)
        if not isinstance(image, nibabel.freesurfer.mghformat.MGHImage):
            raise DataError(f"{path} is {type(image).__name__}, expected a FreeSurfer volume")
        values = np.asarray(image.dataobj, dtype=np.float32)
        affine = np.asarray(image.affine, dtype=np.float64)
    if values.ndim != 3:
        raise DataError(f"{path} has {values.ndim} axes {values.shape}, expected one volume")
    return StoredVolume(values, affine, ())


def _itk(path: Path) -> StoredVolume:
    import SimpleITK  # half a second, of which NIfTI has no need

    with reading(path, f"a {path.suffix.lower()} volume"):
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            image = SimpleITK.ReadImage(str(path))
        except RuntimeError as error:  # which begins with where in its own sources that was
            raise ValueError(str(error).rpartition("ERROR: ")[2]) from error
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise DataError(
                f"{path} has {image.GetDimension()} axes of "
                f"{image.GetNumberOfComponentsPerPixel()} numbers a voxel, expected one volume of "
                "three and one"
            )
        values = SimpleITK.GetArrayFromImage(image).T.astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1  # ITK counts to the left and posterior, NIfTI to the right and anterior
    return StoredVolume(values, affine, ())
