"""The parent that a dependent study was begun with, as its study.yml keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator import words
from protocol.folders import StudyFolder
from protocol.recipe import FILE_KEY, SHA256_KEY

if TYPE_CHECKING:
    from orchestrator.settings.schema import Settings


class ParentRecord(BaseModel):
    """Which checkpoint it is; all but the file and its digest is None where no study is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str  # where it was found; the study keeps it under a name of its own
    sha256: str  # of the file
    study: str | None = None  # its folder
    trial: int | None = None
    family: str | None = None
    metric: str | None = None
    value: float | None = None  # of the metric, at the trial's best epoch
    epoch: int | None = None  # the best one

    def told(self) -> str:
        """Which one it is: `trial 3 of study direct, psnr 31.2 at epoch 7`."""
        if self.study is None:
            return f"{self.checkpoint}, SHA-256 {self.sha256[:12]}…"
        value = f", {self.metric or 'value'} {words.number(self.value)}"
        epoch = f" at epoch {self.epoch}" if self.epoch else ""
        return f"trial {self.trial} of study {Path(self.study).name}{value}{epoch}"

    def given_to(self, settings: Settings, folder: StudyFolder) -> Settings:
        """The settings of trials that start from this parent, as the study in `folder` keeps it."""
        keys = {FILE_KEY: str(folder.parent.absolute()), SHA256_KEY: self.sha256}
        return settings.model_copy(update={"recipe": {**settings.recipe, **keys}})


def record_in(section: Any) -> ParentRecord | None:
    """The record that a study.yml holds under `parent`; None where it holds none that is whole."""
    try:
        return None if section is None else ParentRecord.model_validate(section)
    except ValidationError:
        return None
