"""Why a stop rule has ended a study's search, and which rules somebody has overruled since.

The file is written before the search ends, so that a study that is resumed says the same.
"""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.files import write_text
from protocol.folders import StudyFolder


class Ruling(BaseModel):
    """What the rules have come to."""

    model_config = ConfigDict(frozen=True)

    rule: str = ""  # that has ended the search; empty once it is overruled
    asked: Any = None  # what the settings said of it then
    reason: str = ""
    n_trials: int = 0  # the budget, which overrules it by being raised
    overruled: dict[str, Any] = {}  # rules, and what the settings said of each
    time: float = Field(default_factory=time.time)

    def over(self) -> Ruling:
        """The same once it is overruled."""
        return Ruling(overruled={**self.overruled, self.rule: self.asked})


def keep_ruling(folder: StudyFolder, ruling: Ruling) -> None:
    """Write it down."""
    write_text(folder.ruling, ruling.model_dump_json() + "\n")


def load_ruling(folder: StudyFolder) -> Ruling:
    """What was written down last."""
    try:
        return Ruling.model_validate_json(folder.ruling.read_text(errors="replace"))
    except (FileNotFoundError, ValidationError):
        return Ruling()


def read_ruling(folder: StudyFolder) -> Ruling | None:
    """The ruling that has ended the search; None where none has."""
    ruling = load_ruling(folder)
    return ruling if ruling.rule else None
