"""train, validation, test: said once, and that nobody is in two of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from protocol.errors import DataError, SettingsError

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
NAMES_SHOWN = 10

_SUBJECT = re.compile(r"(?:^|[/_-])(sub-[a-z0-9]+)", re.IGNORECASE)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PeopleList:
    """Whom a list names, and which split it is of."""

    name: str
    split: Split
    people: frozenset[str]


def check_disjoint(
    root: Path, lists: Sequence[PeopleList], *, who: str, remedy: str, allowed: bool
) -> None:
    """Refuse splits that share people, or warn of them if that is allowed.

    Args:
        root: the data set.
        lists: of its splits.
        who: a person of it, such as "patient".
        remedy: what the user may do.
        allowed: whether data.allow_overlap is set.

    Raises:
        DataError: splits share people.
    """
    text = overlap_text(lists, who)
    if text is None:
        return
    if not allowed:
        raise DataError(
            f"{root}: {text}, so the result would be judged on {who}s it was trained or tuned on; "
            f"{remedy}, or set data.allow_overlap: true to go on all the same"
        )
    _log.warning("%s: %s; going on as data.allow_overlap is set", root, text)


def overlap_text(lists: Sequence[PeopleList], who: str) -> str | None:
    """Which lists of different splits share how many and which people; None if none do."""
    parts = []
    for one, other in combinations(lists, 2):
        named = {_spelled(person): person for person in one.people}
        shared = [named[spelling] for spelling in named.keys() & set(map(_spelled, other.people))]
        if shared and one.split != other.split:
            count = f"{len(shared)} {who}{'s are' if len(shared) > 1 else ' is'}"
            parts.append(f"{count} both in {one.name} and in {other.name} ({some_of(shared)})")
    return "; ".join(parts) or None


def matched_person(pattern: str, name: str, *, of: str, key: str) -> str:
    """The person whom a name tells: a regular expression's first group, or all that it matches.

    Args:
        pattern: the regular expression.
        name: what it is looked for in.
        of: what such a name is of, for the message.
        key: of the setting that has the pattern.

    Raises:
        SettingsError: it is not found there.
    """
    match = re.search(pattern, name)
    if match is None:
        raise SettingsError(
            f"{pattern!r} is not found in {name}, expected the patient's part of every {of}; "
            "widen it",
            key=key,
        )
    return (match.re.groups and match[1]) or match[0]


def bids_subject(name: str) -> str | None:
    """The subject that a name tells as BIDS has it, `sub-01`; None where it tells none."""
    found = _SUBJECT.findall(name)
    return str(found[-1]).lower() if found else None


def _spelled(person: str) -> str:
    """What different spellings of a person have in common: programs change capitals and blanks."""
    return person.strip().casefold()


def some_of(names: Iterable[str]) -> str:
    """The first names in their order, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - NAMES_SHOWN
    return ", ".join(ordered[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
