"""Are the same subjects in two splits?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from data.brain.layout import (
    SPLITS,
    Case,
    Split,
    healthy_cases,
    healthy_csv,
    lesion_cases,
    lesion_csv,
    lesion_sets,
)
from data.brain.settings import BrainSettings
from protocol.errors import DataError

NAMES_SHOWN = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SubjectList:
    """Whom one csv file lists, and what for."""

    name: str
    role: Split
    subjects: frozenset[str]


def check_overlap(settings: BrainSettings) -> None:
    """Refuse splits that share subjects, or warn of them if `allow_overlap` is set.

    Compared are the fold's lists of healthy volumes to train, validate and test with, and those
    of every set with lesions. A healthy and an ill volume of one subject in the same split are no
    harm.

    Raises:
        DataError: splits share subjects, or a csv file is missing or malformed.
    """
    text = overlap_text(subject_lists(settings))
    if text is None:
        return
    if not settings.allow_overlap:
        raise DataError(
            f"{settings.root}: {text}, so the result would be judged on subjects it was trained "
            "or tuned on; remove those rows from one of the csv files, or set "
            "data.allow_overlap: true to go on all the same"
        )
    _log.warning("%s: %s; going on as data.allow_overlap is set", settings.root, text)


def subject_lists(settings: BrainSettings) -> list[SubjectList]:
    """Who is in every list of the fold.

    Raises:
        DataError: a csv file is missing or malformed.
    """
    root, fold, mode = settings.root, settings.fold, settings.mode
    lists = [
        _list(healthy_csv(split, fold), split, healthy_cases(root, split, fold, mode))
        for split in SPLITS
    ]
    for dataset in lesion_sets(root, settings.lesions):
        for split in SPLITS[1:]:
            name = lesion_csv(dataset, split)
            if (root / "Data" / "splits" / name).is_file():
                lists.append(_list(name, split, lesion_cases(root, dataset, split, mode)))
    return lists


def overlap_text(lists: Sequence[SubjectList]) -> str | None:
    """Which lists of different splits share how many and which subjects; None if none do."""
    parts = []
    for one, other in combinations(lists, 2):
        shared = one.subjects & other.subjects
        if shared and one.role != other.role:
            count = f"{len(shared)} subject{'s are' if len(shared) > 1 else ' is'}"
            parts.append(f"{count} both in {one.name} and in {other.name} ({_some(shared)})")
    return "; ".join(parts) or None


def _list(name: str, role: Split, cases: Sequence[Case]) -> SubjectList:
    return SubjectList(name=name, role=role, subjects=frozenset(case.subject for case in cases))


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - NAMES_SHOWN
    return ", ".join(ordered[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
