"""Whose image is it: the csv files beside LoDoPaB-CT, and the check that splits share nobody."""

from __future__ import annotations

import logging
from pathlib import Path

from data.lodopab.layout import IMAGES_PER_FILE, patients_name
from data.reading import reading
from data.splits import SPLITS, PeopleList, Split, overlap_text
from protocol.errors import DataError

_log = logging.getLogger(__name__)


def read_patients(root: Path, split: Split) -> tuple[str, ...] | None:
    """The patient of each of the split's images in order; None where no csv file says so.

    Raises:
        DataError: the file cannot be read, or is not text.
    """
    path = root / patients_name(split)
    with reading(path, "a text of one patient id a line", way="restore it, or delete it"):
        if not path.exists():
            return None
        lines = path.read_text(encoding="utf-8-sig").split()
    return tuple(line.strip(",;") for line in lines)


def check_patients(root: Path, split: Split, images: int) -> tuple[str, ...] | None:
    """The split's patients, once their number is right and no other split has one of them.

    Raises:
        DataError: the number of lines is not `images`, or splits share patients.
    """
    patients = read_patients(root, split)
    if patients is None:
        if images % IMAGES_PER_FILE == 0:
            _log.warning(
                "%s has no %s that says how many images there are, and all %d files of %s are "
                "full; make sure that the last ones are there",
                root,
                patients_name(split),
                images // IMAGES_PER_FILE,
                split,
            )
        return None
    if len(patients) != images:
        raise DataError(
            f"{root / patients_name(split)} names {len(patients)} patients, expected one a line "
            f"for each of the {images} {split} images; restore the file, or delete it"
        )
    lists = [
        PeopleList(
            name=patients_name(one), split=one, people=frozenset(read_patients(root, one) or ())
        )
        for one in SPLITS
    ]
    text = overlap_text(lists, "patient")
    if text is not None:
        raise DataError(
            f"{root}: {text}, so the result would be judged on patients it was trained on; split "
            "by patient"
        )
    return patients
