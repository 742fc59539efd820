"""What each kind of prediction has in common: cases in, files out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for, as far as it is not of one kind alone."""

    inputs: tuple[Path, ...]
    format: str | None = None  # the kind's own if not given
    batch: int | None = None  # samples at once; likewise
    memory_gb: float | None = None  # that the process may take, in units of 2³⁰ bytes
    options: Mapping[str, Any] = field(default_factory=dict)  # of single kinds, by name


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of a case."""

    outputs: Sequence[Path]  # files, or folders of DICOM slices
    told: Mapping[str, Any]  # for the record
    remarks: Sequence[str] = ()  # what a user should look at


C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class Named(Generic[C]):
    """One case: what is predicted at once and written together."""

    name: str  # its place below the folder of results, without a suffix
    files: Sequence[Path]  # that it is read from
    given: C


class Task(ABC, Generic[C]):
    """One kind of prediction, with the models that make it."""

    things: tuple[str, str]  # what a case is called, and several, for people
    formats: tuple[str, ...]  # that results may be written in
    notes: tuple[str, ...] = ()  # once `cases` was called: on files that are not used

    @abstractmethod
    def cases(self) -> list[Named[C]]:
        """What the inputs hold, each case under a name of its own.

        Raises:
            DataError: they hold nothing of this kind.
        """

    @abstractmethod
    def predict(self, case: Named[C], stem: Path) -> Done:
        """Read a case, run the models, and write what comes out of them.

        Args:
            stem: the results' path without suffix; its folder is there.

        Raises:
            DataError: the case is damaged, or is not what the models were trained for.
            UserError: memory does not suffice, or the models make no numbers of it.
            OSError: nothing can be written.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What results depend on beside models and input, as JSON."""


def distinct(cases: Sequence[Named[C]]) -> list[Named[C]]:
    """The cases, those of one name told apart by their files' suffixes, or else numbered."""
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.name] = counts.get(case.name, 0) + 1
    taken: set[str] = set()
    found = []
    for case in cases:
        name = case.name
        if counts[name] > 1 and len(case.files) == 1:
            name += case.files[0].suffix.replace(".", "_")
        number, base = 1, name
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        found.append(Named(name=name, files=case.files, given=case.given))
    return found
