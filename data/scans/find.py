"""The scans that a path names."""

from __future__ import annotations

from pathlib import Path

from data.scans.dicom import dicom_scans
from data.scans.nifti import nifti_files, nifti_scan
from data.scans.volume import Scan


def find_scans(source: Path, *, series_are_patients: bool = False) -> list[Scan]:
    """The scans that `source` names: a NIfTI file, or a folder of such or of DICOM slices.

    Raises:
        DataError: there are none.
    """
    files = nifti_files(source, "a folder of such files or of DICOM slices")
    if files:
        return [nifti_scan(path) for path in files]
    return dicom_scans(source, series_are_patients=series_are_patients)
