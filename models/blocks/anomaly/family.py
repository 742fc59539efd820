"""What the anomaly-detection families share: they show what a healthy brain would look like."""

from __future__ import annotations

from typing import Generic

import torch
from torch import Tensor, nn

from data.brain.dataset import BrainSettings
from models.blocks.anomaly.evaluation.evaluation import AnomalyEvaluation
from models.blocks.anomaly.evaluation.reconstructor import Reconstructor
from models.evaluation import Evaluation
from models.family import Family, S
from models.program import BrainProgram

SEED = 0  # of what is random in a program


class AnomalyFamily(Family[S, BrainSettings], Reconstructor, Generic[S]):
    """A family trained on healthy slices; what it cannot reconstruct is taken for an anomaly."""

    def evaluation(self) -> Evaluation:
        """The anomaly map's agreement with lesions that are known, and the error where none are."""
        return AnomalyEvaluation(self)

    def program(self, model: nn.Module) -> BrainProgram:
        """The reconstruction from the family's time steps, each slice's of the same seed."""
        height, width = self.data.size[:2]
        return ReconstructionProgram(self, model, height, width)


class ReconstructionProgram(BrainProgram):
    """A family's reconstruction; whatever it draws comes from one seed."""

    def __init__(self, family: Reconstructor, model: nn.Module, height: int, width: int) -> None:
        super().__init__(height, width)
        self.model = model
        self._family = family

    def forward(self, slices: Tensor, mask: Tensor) -> tuple[Tensor]:
        """Two (B, 1, H, W) → (B, 1, H, W)."""
        seeds = torch.full(slices.shape[:1], SEED, device=slices.device)
        steps = self._family.timesteps
        return (self._family.reconstruct(self.model, slices, mask, seeds, steps),)
