"""How often which kind of fault was injected, in how many studies, and how many of these failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Tally:
    """Counts over many studies."""

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self._rounds: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self.studies = self.failed = 0
        self.left_out: set[str] = set()  # sentences: what was not injected, and why

    def add(self, injected: Mapping[str, int], *, failed: bool) -> None:
        """Count one study, with its faults by kind."""
        self.studies += 1
        self.failed += failed
        self.injected.update(injected)
        self._rounds.update(injected.keys())
        if failed:
            self._failures.update(injected.keys())

    def table(self) -> str:
        """For people, in Markdown; a study that fails counts for each of its kinds."""
        lines = ["| kind | injected | studies | failures |", "|---|---|---|---|"]
        lines += [
            f"| {kind} | {count} | {self._rounds[kind]} | {self._failures[kind]} |"
            for kind, count in sorted(self.injected.items())
        ]
        total = f"| **all** | {self.injected.total()} | {self.studies} | {self.failed} |"
        return "\n".join([*lines, total, *sorted(self.left_out)])
