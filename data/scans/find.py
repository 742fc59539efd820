"""The scans that a path names."""

from __future__ import annotations

from pathlib import Path

from data.scans.dicom import dicom_scans
from data.scans.nifti import is_nifti, nifti_scan
from data.scans.volume import Scan
from protocol.errors import DataError


def find_scans(source: Path, *, series_are_patients: bool = False) -> list[Scan]:
    """The scans that `source` names: a NIfTI file, or a folder of such or of DICOM slices.

    Raises:
        DataError: there are none.
    """
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file() and is_nifti(path))
        files = [path for path in files if not path.name.startswith(".")]
        if files:
            return [nifti_scan(path) for path in files]
        return dicom_scans(source, series_are_patients=series_are_patients)
    if not source.exists():
        raise DataError(f"there is no file or folder {source}; check --source")
    if not is_nifti(source):
        raise DataError(
            f"{source} is not a NIfTI file by its name (.nii or .nii.gz); name one, or a folder "
            "of such files or of DICOM slices"
        )
    return [nifti_scan(source)]
