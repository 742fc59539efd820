"""A study as a script's process sees it: two paths in its environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Heard:
    """What the study's side of the wire has."""

    reports: Path
    stop: Path

    @classmethod
    def beside(cls, path: Path) -> Heard:
        return cls(path.with_name("reports.jsonl"), path.with_name("stop"))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.reports.read_text().splitlines()]

    def epochs(self) -> list[int]:
        return [line["epoch"] for line in self.lines()]

    @property
    def environment(self) -> dict[str, str]:
        return {"TOMOSTUDY_REPORT": str(self.reports), "TOMOSTUDY_STOP": str(self.stop)}
