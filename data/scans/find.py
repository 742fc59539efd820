"""The scans that a path names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.scans.dicom import dicom_series
from data.scans.files import file_scan, is_volume, named_file, stem_of
from data.scans.people import People, without_copies
from data.scans.volume import Scan
from data.scans.walk import files_below
from protocol.errors import DataError

# Segmentations are numbers as scans are, and would become patients of their own.
_LABEL = re.compile(
    r"[-_. ](masks?|seg|segmentation|labels?|dseg|probseg|roi|brainmask|lesions?|lungmask)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Found:
    """The scans, and a sentence on every file: how many are used, and why others are not."""

    scans: list[Scan]
    note: str
    left_out: Mapping[str, Sequence[str]]  # by why: places below the source


def find_scans(
    source: Path, *, series_are_patients: bool = False, patient_pattern: str | None = None
) -> Found:
    """The scans that `source` names: a volume's file, or a folder of such or of DICOM slices.

    Args:
        source: the file or folder.
        series_are_patients: each DICOM series is another person (as after an anonymisation that
            gave everybody the same id).
        patient_pattern: a regular expression that finds the person in a file's place.

    Raises:
        DataError: there are none, or both kinds.
        SettingsError: the pattern is not found in a file's place.
    """
    people = People(source, series_are_patients, patient_pattern)
    if not source.is_dir():
        path = named_file(source, "a folder of such files or of DICOM slices")
        return Found([file_scan(path, people.of_file(path))], "1 file is used.", {})
    given = list(files_below(source))
    paths = [path for path in given if path.is_file()]
    labels = [path for path in paths if is_volume(path) and _LABEL.search(stem_of(path.name))]
    files = [path for path in paths if is_volume(path) and path not in labels]
    found = dicom_series((path for path in paths if not is_volume(path)), people)
    found.others["label maps by their names"] += labels
    found.others["links that lead nowhere"] += sorted(set(given) - set(paths))
    if files and found.scans:
        raise DataError(
            f"{source} holds {len(files)} files of volumes and {len(found.scans)} CT series; "
            "one may have been made of the other, so name a folder that holds one kind alone"
        )
    kept = without_copies(files)
    scans = [file_scan(path, people.of_file(path)) for path in kept] or found.scans
    if not scans:
        others = ", ".join(sorted(why for why, left in found.others.items() if left))
        raise DataError(
            f"{source} holds neither files of volumes nor CT slices in DICOM "
            f"({f'found {others}' if others else 'it is empty'}); "
            "name a .nii.gz file, or a folder of such files or of DICOM slices"
        )
    found.others["copies of other files"] += sorted(set(files) - set(kept))
    persons = len({scan.patient for scan in scans})
    told = people.told(len(scans), persons, dicom=not kept)
    left_out = {
        why: [_shown(path.relative_to(source)) for path in left]
        for why, left in sorted(found.others.items())
        if left
    }
    return Found(scans, f"{_note(len(given), left_out)} {told}", left_out)


def _shown(path: Path) -> str:
    """A place as text that can be written anywhere, whatever bytes it has."""
    return path.as_posix().encode(errors="backslashreplace").decode()


def _note(files: int, left_out: Mapping[str, Sequence[str]]) -> str:
    used = f"{files - sum(map(len, left_out.values()))} of {files} files are used"
    if not left_out:
        return f"{used}."
    reasons = ", ".join(f"{len(left)} {why}" for why, left in left_out.items())
    return f"{used}; left out: {reasons}."
