"""The scans that a path names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data.scans.dicom import dicom_series
from data.scans.nifti import is_nifti, named_file, nifti_scan
from data.scans.volume import Scan
from data.scans.walk import files_below
from protocol.errors import DataError


@dataclass(frozen=True)
class Found:
    """The scans, and a sentence on every file: how many are used, and why others are not."""

    scans: list[Scan]
    note: str


def find_scans(source: Path, *, series_are_patients: bool = False) -> Found:
    """The scans that `source` names: a NIfTI file, or a folder of such or of DICOM slices.

    Raises:
        DataError: there are none, or both kinds.
    """
    if not source.is_dir():
        path = named_file(source, "a folder of such files or of DICOM slices")
        return Found([nifti_scan(path)], "1 file used.")
    paths = list(files_below(source))
    nifti = [path for path in paths if is_nifti(path)]
    found = dicom_series(
        (path for path in paths if not is_nifti(path)), series_are_patients=series_are_patients
    )
    if nifti and found.scans:
        raise DataError(
            f"{source} holds {len(nifti)} NIfTI files and {len(found.scans)} CT series in DICOM; "
            "one may have been made of the other, so name a folder that holds one kind alone"
        )
    scans = [nifti_scan(path) for path in nifti] or found.scans
    if not scans:
        others = ", ".join(sorted(found.others))
        raise DataError(
            f"{source} holds neither NIfTI files nor CT slices in DICOM "
            f"({f'found {others}' if others else 'it is empty'}); "
            "name a .nii.gz file, or a folder of such files or of DICOM slices"
        )
    used = len(paths) - found.others.total()
    return Found(scans, _note(used, found.others))


def _note(used: int, others: Counter[str]) -> str:
    if not others:
        return f"{used} files used."
    reasons = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    return f"{used} files used, {others.total()} left out: {reasons}."
