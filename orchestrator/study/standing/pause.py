"""A study that is paused: a file says so, which outlives whoever reads it."""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.files import sync_folder, write_text
from protocol.folders import StudyFolder


class Pause(BaseModel):
    """Since when, by whom, and until when, in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    since: float
    who: str
    until: float | None = None

    @property
    def holds(self) -> bool:
        """Whether its time is not up yet."""
        return self.until is None or time.time() < self.until

    @property
    def told(self) -> str:
        """`paused by anna on n1 until 2026-01-31 07:00`."""
        return f"paused by {self.who} {_until(self.until)}"


def _until(moment: float | None) -> str:
    if moment is None:
        return "until it is resumed"
    return f"until {time.strftime('%Y-%m-%d %H:%M', time.localtime(moment))}"


def begin_pause(folder: StudyFolder, pause: Pause) -> Pause:
    """Have the study rest; a pause that there is already takes the new end."""
    write_text(folder.pause, pause.model_dump_json() + "\n")
    return pause


def end_pause(folder: StudyFolder) -> bool:
    """Have it go on; False where it was not paused."""
    try:
        folder.pause.unlink()
    except FileNotFoundError:
        return False
    sync_folder(folder.path)
    return True


def read_pause(folder: StudyFolder) -> Pause | None:
    """The pause that the study is in, whose end may be past; None where it is in none."""
    try:
        return Pause.model_validate_json(folder.pause.read_text(errors="replace"))
    except (FileNotFoundError, ValidationError):
        return None
