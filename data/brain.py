"""Brain MRI: slices of healthy volumes to train on, whole volumes with lesions to judge by."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class BrainSettings(BaseModel):
    """The keys of the `data:` section for data in the brain-MRI layout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path = Field(description="the folder that holds Data/")
    fold: int = Field(0, ge=0, description="which of the training and validation folds")
