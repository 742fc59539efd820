"""How far each trial has been told, so that a restart goes on there."""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from protocol.files import write_text
from protocol.folders import StudyFolder


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


def wandb_folder(study: StudyFolder) -> Path:
    """What Weights & Biases writes, online and offline; it names this folder itself."""
    return study.path / "wandb"


def log_file(study: StudyFolder) -> Path:
    """What tracking did, and what went wrong in it."""
    return wandb_folder(study) / "tracking.log"


def state_file(study: StudyFolder) -> Path:
    """How far each trial has been told."""
    return wandb_folder(study) / "tracked.json"
