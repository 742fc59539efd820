"""A family that does next to nothing, so that a trial's time is the time to launch it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from models.family import Batch, Direction, Family, FamilySettings, Split
from models.pictures import Panel, Picture


class NoData(FamilySettings):
    """There is nothing to read."""


class OneSample:
    def __len__(self) -> int:
        return 2  # one for each of two ranks

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"x": np.ones(1, dtype=np.float32)}


class Noop(Family[FamilySettings, NoData]):
    Settings = FamilySettings
    Data = NoData
    metrics: ClassVar[Mapping[str, Direction]] = {"error": "minimize"}

    def dataset(self, split: Split) -> OneSample:
        return OneSample()

    def build_model(self) -> nn.Module:
        return nn.Linear(1, 1)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"square": model(batch["x"]).square().mean()}

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"error": model(batch["x"]).square().squeeze(1)}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        return []


class Shown(Noop):
    """The same with a picture of a target and a difference, of 64² pixels, for each sample."""

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
        panels = [
            Panel(title="Target", image=ramp),
            Panel(title="Difference", image=ramp - 0.5, difference=True),
        ]
        return [
            Picture(name=name, title="Sample", panels=panels, window=(0.0, 1.0))
            for name in ("one", "two")
        ]
