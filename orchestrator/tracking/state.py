"""How far each trial has been told, so that a restart goes on there."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from protocol.files import write_text
from protocol.folders import StudyFolder

Library = Literal["wandb", "tensorboard", "notify"]


class Told(BaseModel):
    """What has been told of one trial."""

    events: int = 0  # lines of its events file
    ended: bool = False  # its outcome, too, and its run is closed


class _Content(BaseModel):
    token: str = Field(default_factory=lambda: secrets.token_hex(4))
    trials: dict[int, Told] = {}


class ToldState:
    """Kept in a file; written after the telling, so that a kill repeats and never omits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_new = not path.exists()
        try:
            self._content = _Content.model_validate_json(path.read_text())
        except (OSError, ValidationError):
            self._content = _Content()  # everything is told again: at least once
        self._saved = ""

    @property
    def token(self) -> str:
        """Tells this study from others of its name, on other machines and in other folders."""
        return self._content.token

    def of(self, trial: int) -> Told:
        """What has been told of the trial, to be changed in place."""
        return self._content.trials.setdefault(trial, Told())

    def save(self) -> None:
        """Write the file if anything changed."""
        text = self._content.model_dump_json(indent=2)
        if text != self._saved:
            write_text(self._path, text + "\n")
            self._saved = text


def tracked_folder(study: StudyFolder, library: Library) -> Path:
    """What a library writes; W&B names its folder itself."""
    return study.path / library


def log_file(study: StudyFolder, library: Library) -> Path:
    """What tracking did, and what went wrong in it."""
    return tracked_folder(study, library) / "tracking.log"


def state_file(study: StudyFolder, library: Library) -> Path:
    """How far each trial has been told."""
    return tracked_folder(study, library) / "tracked.json"
