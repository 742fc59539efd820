"""What an evaluation needs of a family that restores healthy anatomy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from data.brain.settings import BrainSettings


class Reconstructor(ABC):
    """The part of `models.blocks.anomaly.family.AnomalyFamily` that is judged."""

    data: BrainSettings

    @property
    @abstractmethod
    def timesteps(self) -> tuple[int, ...]:
        """The time steps whose reconstructions are averaged, unless others are asked for."""

    @property
    def candidate_timesteps(self) -> tuple[tuple[int, ...], ...]:
        """What tuning an evaluation may use instead: single steps, and several to average over."""
        return tuple(dict.fromkeys([self.timesteps, *((step,) for step in self.timesteps)]))

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
