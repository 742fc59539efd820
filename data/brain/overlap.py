"""Are the same subjects in two splits of a brain data set?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from data.brain.layout import PROVENANCE, healthy_csv, lesion_csv, lesion_sets
from data.brain.lists import Case, healthy_cases, lesion_cases
from data.brain.settings import BrainSettings
from data.reading import reading
from data.splits import SPLITS, PeopleList, Split, bids_subject, check_disjoint


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
    by_person = not _says_people_are_shared(root)
    lists = [
        _list(
            healthy_csv(split, fold),
            split,
            healthy_cases(root, split, fold, mode),
            by_person=by_person,
        )
        for split in SPLITS
    ]
    for dataset in lesion_sets(root, settings.lesions):
        for split in SPLITS[1:]:
            name = lesion_csv(dataset, split)
            if (root / "Data" / "splits" / name).is_file():
                lists.append(
                    _list(
                        name, split, lesion_cases(root, dataset, split, mode), by_person=by_person
                    )
                )
    return lists


def _list(name: str, split: Split, cases: Sequence[Case], *, by_person: bool) -> PeopleList:
    people = (
        (by_person and bids_subject(case.subject)) or case.subject  # sessions are one person's
        for case in cases
    )
    return PeopleList(name=name, split=split, people=frozenset(people))


def _says_people_are_shared(root: Path) -> bool:
    """Whether a set that was made here is of variants of too few persons, and says so."""
    record = root / PROVENANCE
    with reading(record, "a record in JSON", way="restore it, or delete it"):
        if not record.exists():
            return False
        return bool(json.loads(record.read_text(encoding="utf-8")).get("splits_share_people"))
