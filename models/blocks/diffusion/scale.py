"""Intensities are in [0, 1] outside of a diffusion process; inside in [−1, 1], or as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

IntensityRange = Literal["symmetric", "unit"]


def to_model_range(image: Tensor) -> Tensor:
    """[0, 1] to [−1, 1]."""
    return 2 * image - 1


def to_unit_range(image: Tensor) -> Tensor:
    """[−1, 1] to [0, 1]."""
    return (image + 1) / 2


@dataclass(frozen=True)
class Scale:
    """Which intensities a process sees: `symmetric` [−1, 1], or `unit` [0, 1].

    At the same schedule a `unit` signal is half as strong: 6 dB less of it beside equal noise.
    """

    kind: IntensityRange = "symmetric"

    @property
    def low(self) -> float:
        """The smallest intensity inside; the largest is 1."""
        return -1.0 if self.kind == "symmetric" else 0.0

    def inside(self, image: Tensor) -> Tensor:
        """From [0, 1]."""
        return to_model_range(image) if self.kind == "symmetric" else image

    def outside(self, image: Tensor) -> Tensor:
        """Back to [0, 1]."""
        return to_unit_range(image) if self.kind == "symmetric" else image


SYMMETRIC = Scale()
