"""A family with a convolutional net of any size on images in memory, to time what is around it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from models.family import Batch, Direction, Family, FamilySettings, Split
from models.pictures import Picture

SAMPLES = 4096


class ConvNetSettings(FamilySettings):
    """Recipe keys."""

    width: int = 8  # channels of the hidden layers
    blocks: int = 2  # hidden layers
    idle: int = 0  # trained numbers that cost no arithmetic, for large checkpoints


class ConvNetData(FamilySettings):
    """Keys of `data:`; nothing is read."""

    size: int = 16  # pixels along each side
    samples: int = SAMPLES


class Images:
    """Random images, and the same blurred."""

    def __init__(self, count: int, size: int) -> None:
        rng = np.random.default_rng(0)
        self.sharp = rng.normal(size=(count, 1, size, size)).astype(np.float32)
        self.blurred = (self.sharp + np.roll(self.sharp, 1, axis=2)) / 2

    def __len__(self) -> int:
        return len(self.sharp)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"input": self.blurred[index], "target": self.sharp[index]}


class Net(nn.Module):
    """Convolutions of one width, and a vector that learns nothing worth while."""

    def __init__(self, width: int, blocks: int, idle: int) -> None:
        super().__init__()
        widths = [1, *[width] * blocks, 1]
        layers: list[nn.Module] = []
        for inward, outward in itertools.pairwise(widths):
            layers += [nn.Conv2d(inward, outward, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.idle = nn.Parameter(torch.zeros(idle)) if idle else None

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(image)
        return found if self.idle is None else found + self.idle.sum()


class ConvNet(Family[ConvNetSettings, ConvNetData]):
    Settings = ConvNetSettings
    Data = ConvNetData
    metrics: ClassVar[Mapping[str, Direction]] = {"error": "minimize"}

    def dataset(self, split: Split) -> Images:
        return Images(self.data.samples if split == "train" else 8, self.data.size)

    def build_model(self) -> nn.Module:
        return Net(self.settings.width, self.settings.blocks, self.settings.idle)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"square": (model(batch["input"]) - batch["target"]).square().mean()}

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"error": (model(batch["input"]) - batch["target"]).square().mean(dim=(1, 2, 3))}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        return []
