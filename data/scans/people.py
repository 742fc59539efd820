"""Whom a scan shows: what keeps one person from being in two splits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.reading import reading
from data.splits import bids_subject, matched_person
from protocol.files import sha256_of


@dataclass(frozen=True)
class People:
    """How the persons behind some scans are told apart.

    Args:
        source: the folder that all scans are in, or the one file.
        series_are_patients: each DICOM series is of another person.
        pattern: a regular expression for a file's place below `source`; its first group, or all
            of it, is the person.
    """

    source: Path
    series_are_patients: bool = False
    pattern: str | None = None

    def of_file(self, path: Path) -> str:
        """Who a file shows: by the pattern, by BIDS's subject in its name, or one of its own.

        Raises:
            SettingsError: the pattern is not found in it.
        """
        if self.pattern is not None:
            return self._by_pattern(path)
        return bids_subject(self._place(path)) or str(path.resolve())

    def of_series(self, path: Path, series: str, identity: str) -> str:
        """Who a DICOM series shows.

        Args:
            path: of one of its files.
            series: its UID.
            identity: PatientID, or what stands for it; empty where nothing does.
        """
        if self.pattern is not None:
            return self._by_pattern(path)
        if self.series_are_patients or not identity:
            return series
        # One person is often spelled `P-1`, `p1` and `P1 `.
        return re.sub(r"[\W_]", "", identity).casefold() or identity

    def told(self, scans: int, persons: int, *, dicom: bool) -> str:
        """A sentence: by what persons are told apart, which claims no more than was looked at."""
        if self.pattern is not None:
            by = "--patient_pattern"
        elif dicom:
            by = "series" if self.series_are_patients else "PatientID, or else StudyInstanceUID"
        elif persons < scans:
            by = "sub-… in their names"
        else:
            return f"Each of {scans} files is taken for another patient's (else --patient_pattern)."
        return f"{scans} scans of {persons} patients, told apart by {by}."

    def _by_pattern(self, path: Path) -> str:
        assert self.pattern is not None
        return matched_person(
            self.pattern, self._place(path), of="file's place", key="--patient_pattern"
        )

    def _place(self, path: Path) -> str:
        below = path.relative_to(self.source) if path != self.source else Path(path.name)
        return below.as_posix()


def without_copies(paths: Sequence[Path]) -> list[Path]:
    """The files, each content once: links to others and equal bytes show the same thing.

    Raises:
        DataError: one cannot be read.
    """
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for path in paths:
        with reading(path, "a volume's file"):
            by_size[path.stat().st_size].append(path)
    kept: dict[object, Path] = {}
    for size, alike in by_size.items():
        for path in alike:
            with reading(path, "a volume's file"):
                what = (size, sha256_of(path, fresh=False)) if len(alike) > 1 else size
            kept.setdefault(what, path)
    return [path for path in paths if path in set(kept.values())]
