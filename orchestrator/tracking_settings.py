"""What may be asked of experiment tracking."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class TrackingSettings(BaseModel):
    """Weights & Biases: off, or one run a trial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wandb: Literal["off", "auto", "offline", "online"] = "off"
    project: str = "tomostudy"
    entity: str | None = None
