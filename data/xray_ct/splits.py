"""Which X-ray/CT pairs train, which validate, which test: by patient.

`splits.csv` beside the cases says it, with the columns case, patient and split. Without it the
patients are put in an order that depends on nothing but their names, and cut into shares.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from data.prepare.shares import shares_of
from data.reading import reading
from data.splits import SPLITS, PeopleList, Split, check_disjoint, matched_person, some_of
from data.xray_ct.settings import XrayCtSettings
from protocol.errors import DataError

Row = tuple[str, str, Split]  # case, patient, split

SPLITS_CSV = "splits.csv"
COLUMNS = ("case", "patient", "split")
_LIDC = re.compile(r"LIDC-IDRI-\d+")

_log = logging.getLogger(__name__)


def split_cases(settings: XrayCtSettings, names: Sequence[str]) -> dict[Split, list[str]]:
    """The cases of every split, in the order of `names`.

    Cases that splits.csv does not name are in no split, which the log says.

    Raises:
        DataError: splits.csv is malformed, names cases that are not there or leaves a split
            empty; splits share patients; or there are fewer than three patients.
    """
    path = settings.root / SPLITS_CSV
    if path.is_file():
        rows = read_splits(path)
        _check_rows(path, rows, names)
    else:
        rows = _hashed(settings, names)
    check_disjoint(
        settings.root,
        [
            PeopleList(
                name=split, split=split, people=frozenset(row[1] for row in rows if row[2] == split)
            )
            for split in SPLITS
        ],
        who="patient",
        remedy=f"correct {SPLITS_CSV}",
        allowed=settings.allow_overlap,
    )
    wanted = {case: split for case, _, split in rows}
    return {split: [name for name in names if wanted.get(name) == split] for split in SPLITS}


def read_splits(path: Path) -> list[Row]:
    """The rows of a splits.csv.

    Raises:
        DataError: it is no such file, or lists a case twice.
    """
    with reading(path, "a table as text", way="write it anew"):
        text = path.read_text(encoding="utf-8-sig")
        header = text.partition("\n")[0]
        # Excel writes semicolons in half of Europe, and tabs as "text".
        delimiter = max(",;\t", key=header.count)
        found = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    columns = [name.strip() for name in header.split(delimiter)]
    if not set(COLUMNS) <= set(columns):
        raise DataError(f"{path} has the columns {columns}, expected {','.join(COLUMNS)}")
    rows: list[Row] = []
    for line, row in enumerate(found, start=2):
        case, patient, split = ((row.get(column) or "").strip() for column in COLUMNS)
        known = next((one for one in SPLITS if one == split), None)
        if not case or not patient or known is None:
            raise DataError(
                f"{path}, line {line}: found {list(row.values())}, expected a case, a patient and "
                f"one of {', '.join(SPLITS)}"
            )
        rows.append((case, patient, known))
    names = [case for case, _, _ in rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} lists the case {twice} more than once; delete the other rows")
    return rows


def write_splits(path: Path, rows: Sequence[Row]) -> None:
    """Write a splits.csv."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])


def patient_of(name: str, pattern: str | None) -> str:
    """The patient of a case, as its name tells.

    Raises:
        SettingsError: the pattern does not fit the name.
    """
    if pattern is None:
        lidc = _LIDC.match(name)
        return lidc[0] if lidc else name
    return matched_person(pattern, name, of="case's name", key="data.patient_pattern")


def _hashed(settings: XrayCtSettings, names: Sequence[str]) -> list[Row]:
    """Patients in the order of their names' hashes, cut into shares of at least one."""
    patients = {name: patient_of(name, settings.patient_pattern) for name in names}
    order = sorted(set(patients.values()), key=lambda one: hashlib.sha256(one.encode()).digest())
    if len(order) < len(SPLITS):
        raise DataError(
            f"{settings.root} has the pairs of {len(order)} patient{'s' * (len(order) != 1)}, "
            "expected three or more, so that one trains, one validates and one tests; add some, "
            f"or say in {SPLITS_CSV} (case,patient,split) what goes where"
        )
    counts = shares_of(len(order), settings.fractions)
    splits = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    of_patient = dict(zip(order, splits, strict=True))
    shown = ", ".join(f"{count} {split}" for split, count in zip(SPLITS, counts, strict=True))
    _log.info("%s has no %s; patients by hash: %s", settings.root, SPLITS_CSV, shown)
    return [(name, patients[name], of_patient[patients[name]]) for name in names]


def _check_rows(path: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    listed = {case for case, _, _ in rows}
    missing = sorted(listed - set(names))
    if missing:
        raise DataError(
            f"{path} names {len(missing)} cases that are not there ({some_of(missing)}); restore "
            "them, or delete their rows"
        )
    for split in SPLITS:
        if not any(row[2] == split for row in rows):
            raise DataError(f"{path} puts no case into {split}, expected at least one")
    unlisted = sorted(set(names) - listed)
    if unlisted:
        _log.warning("%s does not name %s, so they are not used", path, some_of(unlisted))
