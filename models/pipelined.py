"""A family whose model can be cut into pieces that run on several devices.

The pieces form a chain that is folded in the middle, as the two halves of a U-Net are: with S
devices there are 2·S segments, and segment k runs on device min(k, 2·S − 1 − k). What a segment
of the first half keeps for its partner in the second (skip connections, embeddings) thus stays on
its device; only what the next segment is called with travels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from models.family import Batch, D, Family, S

Carry = tuple[Tensor, ...]  # what one segment hands to the next, each (B, …)


class Kept(Protocol):
    """What a segment leaves for its partner on the same device, within one forward pass."""

    def put(self, name: str, value: Tensor) -> None:
        """Leave `value`, once under each name."""

    def take(self, name: str) -> Tensor:
        """What the partner left under `name`, once."""


class Segment(nn.Module):
    """One piece of a model; its submodules are the model's own, not copies of them."""

    @abstractmethod
    def forward(self, carry: Carry, kept: Kept) -> Carry:
        """From what the segment before gives to what the next one gets.

        The first segment is called with the model's inputs, the last one gives `(output,)`. Shapes
        follow from those of the inputs alone. The carry is not changed in place, and what is kept
        is put and taken outside of what activation checkpointing would run twice.
        """


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A batch on its way into the model and into the loss; every tensor is (B, …)."""

    inputs: Carry  # the model's arguments
    targets: dict[str, Tensor]


class PipelinedFamily(Family[S, D]):
    """A family that can be trained model-parallel.

    Its loss is a mean over samples, each of which passes the model once: a batch may be cut into
    micro-batches without changing the gradient, up to rounding.
    """

    @abstractmethod
    def prepare(self, batch: Batch) -> Prepared:
        """Inputs and targets, by the samples' own seeds: the same wherever it is called."""

    @abstractmethod
    def terms(self, output: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weighted loss terms of the model's output, each a mean over its samples."""

    @abstractmethod
    def segments(self, model: nn.Module, stages: int) -> Sequence[Segment]:
        """The model cut for `stages` devices, into 2·`stages` segments.

        Every parameter and buffer of the model is in exactly one segment or in both of one device.

        Raises:
            SettingsError: the model has fewer levels than that.
        """

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss terms, by one pass of the whole model."""
        prepared = self.prepare(batch)
        return self.terms(model(*prepared.inputs), prepared.targets)
