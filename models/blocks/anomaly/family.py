"""What the anomaly-detection families share: they show what a healthy brain would look like."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic

from torch import Tensor, nn

from data.brain.dataset import BrainSettings
from models.blocks.anomaly.evaluation.evaluation import AnomalyEvaluation
from models.evaluation import Evaluation
from models.family import Family, S


class AnomalyFamily(Family[S, BrainSettings], Generic[S]):
    """A family trained on healthy slices; what it cannot reconstruct is taken for an anomaly."""

    @property
    @abstractmethod
    def timesteps(self) -> tuple[int, ...]:
        """The time steps whose reconstructions are averaged, unless others are asked for."""

    @property
    def candidate_timesteps(self) -> tuple[tuple[int, ...], ...]:
        """What tuning an evaluation may use instead: single steps, and several to average over."""
        return tuple(dict.fromkeys([self.timesteps, *((step,) for step in self.timesteps)]))

    def evaluation(self) -> Evaluation:
        """The anomaly map's agreement with lesions that are known, and the error where none are."""
        return AnomalyEvaluation(self)

    @abstractmethod
    def reconstruct(
        self,
        model: nn.Module,
        image: Tensor,
        mask: Tensor,
        seeds: Tensor,
        timesteps: Sequence[int],
    ) -> Tensor:
        """The healthy counterpart of slices, averaged over `timesteps`.

        Args:
            image: (B, 1, H, W) in [0, 1].
            mask: (B, 1, H, W), 1 inside the brain.
            seeds: (B,) int64; a slice's noise depends on its own seed and the time step alone, so
                that neither its neighbours in the batch nor the number of ranks change it.
            timesteps: diffusion time steps, each below the schedule's number.

        Returns:
            (B, 1, H, W) in [0, 1].
        """
