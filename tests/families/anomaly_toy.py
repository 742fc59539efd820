"""An anomaly family of one convolution, on brains small enough to make in a test.

Its model starts as a plain blur, so that what is small and unlike its surroundings is left over
in the residual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from data.brain.dataset import BrainSettings, BrainSlices
from models.blocks.anomaly.family import AnomalyFamily
from models.family import Batch, Direction, FamilySettings
from models.pictures import Panel, Picture

TINY_BRAINS = {
    "crop": [32, 32, 8],
    "size": [32, 32, 8],
    "generate": {
        "shape": [32, 32, 8],
        "train": 4,
        "validation": 2,
        "test": 2,
        "lesions": 3,
        "folds": 2,
    },
}


class AnomalyToySettings(FamilySettings):
    """Recipe keys of the toy."""

    noise: float = 0.05  # at the last of a thousand time steps
    test_timesteps: tuple[int, ...] = (200,)
    broken: bool = False  # reconstructs nothing but NaN


class Blur(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 5, padding=2)
        nn.init.constant_(self.layer.weight, 1 / 25)
        nn.init.zeros_(self.layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image)


class AnomalyToy(AnomalyFamily[AnomalyToySettings]):
    Settings = AnomalyToySettings
    Data = BrainSettings
    metrics: ClassVar[Mapping[str, Direction]] = {"l1": "minimize"}

    @property
    def timesteps(self) -> tuple[int, ...]:
        return self.settings.test_timesteps

    @property
    def candidate_timesteps(self) -> tuple[tuple[int, ...], ...]:
        return ((200,), (600,), (200, 600))

    def dataset(self, split: str) -> BrainSlices:
        return BrainSlices(self.data, split)

    def build_model(self) -> nn.Module:
        return Blur()

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"l1": (model(batch["image"]) - batch["image"]).abs().mean()}

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"l1": (model(batch["image"]) - batch["image"]).abs().mean(dim=(1, 2, 3))}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        return [
            Picture(
                name="slice",
                title="slice",
                panels=[Panel(title="slice", image=image[0].cpu().numpy())],
                window=(0.0, 1.0),
            )
            for image in batch["image"]
        ]

    def reconstruct(
        self,
        model: nn.Module,
        image: Tensor,
        mask: Tensor,
        seeds: Tensor,
        timesteps: Sequence[int],
    ) -> Tensor:
        if self.settings.broken:
            return image * float("nan")
        results = [
            model(image + self.settings.noise * step / 1000 * _noise(image, seeds, step))
            for step in timesteps
        ]
        return (torch.stack(results).mean(dim=0) * mask).clamp(0, 1)


def _noise(image: Tensor, seeds: Tensor, step: int) -> Tensor:
    drawn = [
        torch.randn(image.shape[1:], generator=torch.Generator().manual_seed(int(seed) ^ step))
        for seed in seeds
    ]
    return torch.stack(drawn).to(image.device)
