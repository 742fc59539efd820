"""How the space of a study may change while its trials stay comparable.

A list may get choices at its end, a key that was fixed may be searched, one that was searched may
be fixed; that ranges may move stands at their fields. Earlier trials then have a place in the new
space: `history` says which. What would leave them without one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.settings.schema import Choices, Range, Settings
from orchestrator.study.journal import Entry
from protocol.recipe import TrainingRecipe

_UNKNOWN = object()


def grown(
    old: Settings, new: Settings, journal: Sequence[Entry]
) -> tuple[list[str], dict[str, str]]:
    """The keys whose place in the space has changed in a way that may be, and what may not be.

    Args:
        old: the settings that the study has.
        new: those that it is to have.
        journal: all that it had, with the values of the keys that were not searched.

    Returns:
        Names of searched keys, and of the others why, by name.
    """
    fine, refused = [], {}
    for key in dict.fromkeys((*old.search, *new.search)):
        if not _moved(old, new, key):
            continue
        problem = _problem(old, new, key, journal)
        if problem is None:
            fine.append(key)
        else:
            refused[key] = problem
    return fine, refused


def _moved(old: Settings, new: Settings, key: str) -> bool:
    before, after = old.search.get(key), new.search.get(key)
    if before is None or after is None:
        return True
    both = isinstance(before, Choices) and isinstance(after, Choices)
    return both and before.choices != after.choices  # type: ignore[union-attr]


def _problem(old: Settings, new: Settings, key: str, journal: Sequence[Entry]) -> str | None:
    """Why trials of both spaces would not be comparable; None where they are."""
    spec = new.search.get(key)
    if spec is None:
        return None  # it is fixed from now on, and trials that have other values keep these
    if new.sampler.kind == "grid":
        return "a grid is one walk through the points that there were at its beginning"
    for earlier in _specs(old, key, journal):
        if problem := _of_another_kind(earlier, spec):
            return problem
    for value in _values(old, key, journal):
        if problem := _without_place(value, spec):
            return problem
    return None


def _specs(old: Settings, key: str, journal: Sequence[Entry]) -> Iterator[Range | Choices]:
    """How the key was searched so far."""
    for settings in (*(entry.settings for entry in journal), old):
        if key in settings.search:
            yield settings.search[key]


def _of_another_kind(before: Range | Choices, after: Range | Choices) -> str | None:
    match before, after:
        case Choices(), Choices():
            kept = after.choices[: len(before.choices)]
            if [repr(value) for value in kept] != [repr(value) for value in before.choices]:
                return (
                    f"found {after.choices}, expected choices that begin with those that earlier "
                    f"trials were drawn from, {before.choices}"
                )
        case Range(), Range():
            if (before.log, before.step, before.integer) != (after.log, after.step, after.integer):
                return "a range's log, step and whole numbers stay what they were"
        case _:
            return "it was searched before, as a range or as choices, and stays that"
    return None if before.when == after.when else "its condition `when` stays what it was"


def _values(old: Settings, key: str, journal: Sequence[Entry]) -> list[Any]:
    """What the key was for trials that were not asked for it."""
    values = [
        entry.values.get(key, _UNKNOWN) for entry in journal if key not in entry.settings.search
    ]
    if not journal and key not in old.search:
        known: Mapping[str, Any] = {**TrainingRecipe().model_dump(), **old.recipe}
        values = [known.get(key, _UNKNOWN)]
    return list({repr(value): value for value in values}.values())


def _without_place(value: Any, spec: Range | Choices) -> str | None:
    if value is _UNKNOWN:
        return "what earlier trials had for it is not known: their version kept no journal"
    if isinstance(spec, Choices):
        if any(repr(value) == repr(choice) for choice in spec.choices):
            return None
        return (
            f"earlier trials were trained with {value!r}, which is none of {spec.choices}; add it"
        )
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (spec.log and value <= 0) or (spec.integer and value != int(value)):
        return f"earlier trials were trained with {value!r}, which has no place in such a range"
    return None
