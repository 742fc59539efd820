"""Random variants of a few people's scans stand in where people are too few to be split."""

from __future__ import annotations

WANTED = 24  # variants in all


def variants_of_each(asked: int | None, scans: int, *, few: bool) -> int:
    """How many variants to make of each scan: what the user asks for, or enough for a data set."""
    return asked or (-(-WANTED // scans) if few else 1)


def same_people_note(people: int, one: str, several: str) -> str:
    """What the user must know of results on such a data set.

    Args:
        people: how many there are.
        one: a person, such as "patient".
        several: more than one.
    """
    whom = f"ONE {one.upper()}" if people == 1 else f"THE SAME {people} {several.upper()}"
    return (
        f"TRAIN, VALIDATION AND TEST ALL COME FROM {whom}, varied at random: results will show "
        f"whether training works, not how it does on {several} it has not seen."
    )
