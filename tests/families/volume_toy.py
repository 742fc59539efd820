"""A family for tests of dependent studies and of `infer`: a volume is its two views, scaled.

With a parent, the volume of the parent's model is what the model scales.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.family import Batch, Direction, Family, FamilySettings, Volume
from models.pictures import Panel, Picture
from protocol.errors import SettingsError

HU_LOW, HU_RANGE = -1024.0, 2524.0


class VolumeToySettings(FamilySettings):
    parent_file: Path | None = None
    parent_sha256: str | None = None
    start: float = 0.2
    gap: float = 0.0  # added to the result: NaN spoils it


class VolumeToyData(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str = "toys"  # only a name, nothing is read from disk
    samples: int = 8
    size: int = 6  # voxels along each side
    xray_turn: int = 0
    xray_invert: bool = False


class Scale(nn.Module):
    def __init__(self, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(start))

    def forward(self, volume: Tensor) -> Tensor:
        return self.factor * volume


class VolumeToy(Family[VolumeToySettings, VolumeToyData]):
    Settings = VolumeToySettings
    Data = VolumeToyData
    metrics: ClassVar[Mapping[str, Direction]] = {"error": "minimize"}

    def check(self) -> None:
        self._parent_factor()

    def dataset(self, split: str) -> list[dict[str, Any]]:
        random = np.random.default_rng(["train", "validation", "test"].index(split))
        size = self.data.size
        views = random.random((self.data.samples, 2, size, size), dtype=np.float32)
        return [{"xrays": pair, "ct": spread(torch.from_numpy(pair)).numpy()} for pair in views]

    def build_model(self) -> nn.Module:
        return Scale(self.settings.start)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"data": self.evaluate(model, batch)["error"].mean()}

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        guess = torch.stack([spread(pair) for pair in batch["xrays"]]) * self._parent_factor()
        return {"error": (model(guess) - batch["ct"]).square().flatten(1).mean(1)}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        result = model(batch["ct"])
        return [
            Picture(
                name=f"sample_{number}",
                title="Toy",
                panels=[Panel(title="result", image=volume[0].cpu().numpy())],
                window=(0, 1),
            )
            for number, volume in enumerate(result)
        ]

    def infer(self, model: nn.Module, xrays: Tensor) -> Volume:
        views = interpolate(xrays[None], size=(self.data.size, self.data.size))[0]
        result = model(spread(views) * self._parent_factor()) + self.settings.gap
        hu = (HU_LOW + HU_RANGE * result).cpu().numpy().astype(np.float32)
        return Volume(hu=hu, voxel_size=(4.0, 3.0, 2.0))

    def _parent_factor(self) -> float:
        path = self.settings.parent_file
        if path is None:
            return 1.0
        if not path.is_file():
            raise SettingsError(f"there is no {path}", key="recipe.parent_file")
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.settings.parent_sha256:
            raise SettingsError(f"{path} is another file", key="recipe.parent_file")
        content = torch.load(path, weights_only=True)["content"]
        return float(content["model"]["factor"])


def spread(views: Tensor) -> Tensor:
    """Views (2, S, S), of rows by columns and rows by depth, along each other: (D, H, W)."""
    front, lateral = views
    return (front[:, None, :] + lateral[:, :, None]) / 2
