"""Are the same subjects in two splits of a brain data set?"""

from __future__ import annotations

from collections.abc import Sequence

from data.brain.layout import healthy_csv, lesion_csv, lesion_sets
from data.brain.lists import Case, healthy_cases, lesion_cases
from data.brain.settings import BrainSettings
from data.splits import SPLITS, PeopleList, Split, check_disjoint


def check_overlap(settings: BrainSettings) -> None:
    """Refuse splits that share subjects, or warn of them if `allow_overlap` is set.

    Compared are the fold's lists of healthy volumes to train, validate and test with, and those
    of every set with lesions. A healthy and an ill volume of one subject in the same split are no
    harm.

    Raises:
        DataError: splits share subjects, or a csv file is missing or malformed.
    """
    check_disjoint(
        settings.root,
        _subject_lists(settings),
        who="subject",
        remedy="remove those rows from one of the csv files",
        allowed=settings.allow_overlap,
    )


def _subject_lists(settings: BrainSettings) -> list[PeopleList]:
    """Who is in every list of the fold."""
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


def _list(name: str, split: Split, cases: Sequence[Case]) -> PeopleList:
    return PeopleList(name=name, split=split, people=frozenset(case.subject for case in cases))
