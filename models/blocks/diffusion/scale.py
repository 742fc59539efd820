"""Intensities are in [0, 1] outside of a diffusion process and in [−1, 1] inside."""

from __future__ import annotations

from torch import Tensor


def to_model_range(image: Tensor) -> Tensor:
    """[0, 1] to [−1, 1]."""
    return 2 * image - 1


def to_unit_range(image: Tensor) -> Tensor:
    """[−1, 1] to [0, 1]."""
    return (image + 1) / 2
