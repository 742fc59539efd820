"""What the csv files of the brain-MRI layout list: volumes, and where their files are."""

from __future__ import annotations

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.brain.layout import (
    AVAILABLE_T2,
    HEALTHY_SET,
    Mode,
    count_folds,
    data_folder,
    healthy_csv,
    lesion_csv,
    subject_of,
)
from data.reading import reading
from data.splits import Split, some_of
from protocol.errors import DataError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a csv file: a volume, and where its files are."""

    subject: str  # the name without contrast and suffix, such as IXI002-Guys-0828
    dataset: str  # IXI, or the set of lesions
    image: Path
    mask: Path | None  # None: what is not zero is brain
    segmentation: Path | None  # None for the healthy


def healthy_cases(root: Path, split: Split, fold: int, mode: Mode) -> list[Case]:
    """The healthy volumes of a split.

    Raises:
        DataError: the fold or a csv file is missing or malformed.
    """
    path = data_folder(root) / "splits" / healthy_csv(split, fold)
    if split != "test" and not path.is_file():
        folds = count_folds(root)
        there = f"folds 0 to {folds - 1} are there" if folds else "no fold is there"
        raise DataError(
            f"found {fold}, but there is no file {path}; {there}, choose one of them"
            if folds
            else f"there is no file {path}, and {there}; restore the csv files",
            key="data.fold",
        )
    cases = _read_cases(root, path, HEALTHY_SET, mode, with_lesions=False)
    if mode == "t2":
        cases = _with_t2(root, cases)
    return _not_empty(path, mode, cases)


def lesion_cases(root: Path, dataset: str, split: Split, mode: Mode) -> list[Case]:
    """The volumes with lesions of one set's split, `validation` or `test`.

    Raises:
        DataError: the csv file is missing or malformed.
    """
    path = data_folder(root) / "splits" / lesion_csv(dataset, split)
    return _not_empty(path, mode, _read_cases(root, path, dataset, mode, with_lesions=True))


def _not_empty(path: Path, mode: Mode, cases: list[Case]) -> list[Case]:
    if not cases:
        raise DataError(
            f"{path} lists no volume with data.mode {mode}, expected one a row; restore the file, "
            "or choose the other mode"
        )
    return cases


def _with_t2(root: Path, cases: list[Case]) -> list[Case]:
    """Those that avail_t2.csv lists; all where there is no such file."""
    path = root / "Data" / "splits" / AVAILABLE_T2
    if not path.is_file():
        return cases
    available = {subject_of(row["0"]) for _, row in _rows(path, ["0"])}
    return [case for case in cases if case.subject in available]


def _read_cases(
    root: Path, path: Path, dataset: str, mode: Mode, *, with_lesions: bool
) -> list[Case]:
    needed = ["img_name", "img_path", "mask_path", *(["seg_path"] if with_lesions else [])]
    cases = []
    for line, row in _rows(path, needed):
        image = _file(root, path, line, "img_path", row["img_path"])
        segmentation = row.get("seg_path") or ""
        if image is None or (with_lesions and not segmentation):
            column = "seg_path" if image else "img_path"
            raise DataError(
                f"{path}, row {line}: {column} is empty, expected a file below Data/; fill it in, "
                "or delete the row"
            )
        cases.append(
            Case(
                subject=subject_of(row["img_name"]),
                dataset=dataset,
                image=_swapped(image, mode),
                mask=_file(root, path, line, "mask_path", row["mask_path"]),
                segmentation=_file(root, path, line, "seg_path", segmentation)
                if with_lesions
                else None,
            )
        )
    twice = [
        image.name for image, count in Counter(one.image for one in cases).items() if count > 1
    ]
    if twice:
        _log.warning(
            "%s names %s more than once, so that each such row weighs more; delete the others",
            path,
            some_of(twice),
        )
    return cases


def _file(root: Path, path: Path, line: int, column: str, value: str) -> Path | None:
    """The file that a cell names; None for an empty cell."""
    if value in ("", "nan", "None"):
        return None
    relative = Path(value.lstrip("/"))
    if not value.endswith((".nii", ".nii.gz")) or ".." in relative.parts:
        raise DataError(
            f"{path}, row {line}: {column} is {value!r}, expected the path of a .nii or .nii.gz "
            "file below Data/, such as /Train/ixi/t1/IXI002_t1.nii.gz; correct the row"
        )
    return root / "Data" / relative


def _swapped(path: Path, mode: Mode) -> Path:
    """The same subject's file in the wanted contrast."""
    folder = path.parent
    if folder.name in ("t1", "t2"):
        folder = folder.with_name(mode)
    return folder / re.sub(r"_t[12](?=\.nii(\.gz)?$)", f"_{mode}", path.name)


def _rows(path: Path, needed: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a csv file with their line numbers.

    Raises:
        DataError: the file is missing, is not text, or lacks a column or a cell.
    """
    missing = "it lists volumes: restore it, or make the data set anew"
    with (
        reading(path, "a csv file", way="copy or download it again", missing=missing),
        path.open(newline="", encoding="utf-8-sig") as stream,
    ):
        reader = csv.DictReader(stream, strict=True)
        names = reader.fieldnames or []
        for column in needed:
            if column not in names:
                raise DataError(
                    f"{path}, row 1: there is no column {column!r} among {', '.join(names)}; "
                    "restore the file's header"
                )
        rows = [(reader.line_num, row) for row in reader]
    for line, row in rows:
        short = [column for column in needed if row[column] is None]
        if short:
            raise DataError(
                f"{path}, row {line}: it ends before {short[0]}, expected {len(names)} cells as in "
                "the header; complete the row"
            )
    return rows
