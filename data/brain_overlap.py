"""Are the same subjects in two splits?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from data.brain_layout import Mode, Split, healthy_cases, lesion_cases, lesion_csv, lesion_sets
from data.brain_settings import BrainSettings
from orchestrator.errors import DataError

NAMES_SHOWN = 10
LESION_SPLITS: tuple[Split, Split] = ("validation", "test")

_log = logging.getLogger(__name__)


def check_overlap(settings: BrainSettings) -> None:
    """Refuse splits that share subjects, or warn of them if `allow_overlap` is set.

    All lists of the fold are compared: of healthy volumes to train on, to validate and to test
    with, and of every set with lesions.

    Raises:
        DataError: they share subjects, or a csv file is missing or malformed.
    """
    text = overlap_text(subjects_of_splits(settings))
    if text is None:
        return
    if not settings.allow_overlap:
        raise DataError(
            f"{settings.root}: {text}, so the result would be judged on subjects it was trained "
            "or tuned on; remove those rows from one of the csv files, or set "
            "data.allow_overlap: true to go on all the same"
        )
    _log.warning("%s: %s; going on as data.allow_overlap is set", settings.root, text)


def subjects_of_splits(settings: BrainSettings) -> dict[str, set[str]]:
    """The subjects of every list of the fold.

    Raises:
        DataError: a csv file is missing or malformed.
    """
    root, mode = settings.root, settings.mode
    lists = {
        f"fold {settings.fold}'s training": _names(root, "train", settings.fold, mode),
        f"fold {settings.fold}'s validation": _names(root, "validation", settings.fold, mode),
        "test": _names(root, "test", settings.fold, mode),
    }
    for name in lesion_sets(root, settings.lesions):
        for split in LESION_SPLITS:
            if (root / "Data" / "splits" / lesion_csv(name, split)).is_file():
                cases = lesion_cases(root, name, split, mode)
                lists[f"{name}'s {split}"] = {case.subject for case in cases}
    return lists


def overlap_text(lists: Mapping[str, set[str]]) -> str | None:
    """Which lists share how many and which subjects; None if no two do."""
    parts = []
    for one, other in combinations(lists, 2):
        shared = lists[one] & lists[other]
        if shared:
            count = f"{len(shared)} subject{'s' if len(shared) > 1 else ''}"
            parts.append(f"{count} in both the {one} and the {other} list ({_some(shared)})")
    return "; ".join(parts) or None


def _names(root: Path, split: Split, fold: int, mode: Mode) -> set[str]:
    return {case.subject for case in healthy_cases(root, split, fold, mode)}


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - NAMES_SHOWN
    return ", ".join(ordered[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
