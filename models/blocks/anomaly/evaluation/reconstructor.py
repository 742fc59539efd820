"""What an evaluation needs of a family that restores healthy anatomy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from data.brain.settings import BrainSettings


class Reconstructor(Protocol):
    """The part of `models.blocks.anomaly.family.AnomalyFamily` that is judged."""

    data: BrainSettings

    @property
    def timesteps(self) -> tuple[int, ...]: ...

    @property
    def candidate_timesteps(self) -> tuple[tuple[int, ...], ...]: ...

    def reconstruct(
        self,
        model: nn.Module,
        image: Tensor,
        mask: Tensor,
        seeds: Tensor,
        timesteps: Sequence[int],
    ) -> Tensor: ...
