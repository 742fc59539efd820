"""What does not fit in a study's record, and what was looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit."""

    place: str  # a file below the study's folder, or a trial in its database
    problem: str


@dataclass
class Report:
    """All findings, how much was looked at, and what could not be."""

    found: list[Finding] = field(default_factory=list)
    looked: Counter[str] = field(default_factory=Counter)  # by what it is, in the singular
    unknown: list[str] = field(default_factory=list)  # sentences: what the record does not say

    def add(self, place: object, problem: str) -> None:
        self.found.append(Finding(str(place), problem))

    def cannot(self, sentence: str) -> None:
        """Say once that something cannot be checked."""
        if sentence not in self.unknown:
            self.unknown.append(sentence)
