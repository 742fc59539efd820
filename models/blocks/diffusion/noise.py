"""The noise and the time steps of a batch, each sample's from its own seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from models.blocks.diffusion.hashing import integers, normals
from models.blocks.diffusion.simplex import simplex_noise

NoiseKind = Literal["gaussian", "simplex"]

GAUSSIAN_STREAM, TIMESTEP_STREAM = 1, 2


def sample_noise(
    kind: NoiseKind,
    shape: Sequence[int],
    seeds: Tensor,
    *,
    device: torch.device | str,
    octaves: int = 6,
    persistence: float = 0.8,
    frequency: float = 64,
    std: float = 1.0,
) -> Tensor:
    """Noise of mean 0 at every pixel, over seeds; of variance 1 if Gaussian, std² if simplex.

    Args:
        shape: (B, 1, H, W).
        seeds: (B,) int64; a sample's noise is a function of its own seed alone.
        octaves, persistence, frequency: of `simplex` noise, see `simplex_noise`.
        std: of `simplex` noise, over seeds.

    Returns:
        `shape`, float32, on `device`.
    """
    batch, channels, height, width = shape
    if channels != 1 or seeds.shape != (batch,):
        raise ValueError(
            f"shape: found {tuple(shape)} for seeds {tuple(seeds.shape)}, expected (B, 1, H, W) "
            "and (B,)"
        )
    seeds = seeds.to(device)
    if kind == "gaussian":
        return gaussian_noise(shape, seeds)
    noise = simplex_noise(
        seeds, height, width, octaves=octaves, persistence=persistence, frequency=frequency
    )
    return noise if std == 1 else noise * std


def gaussian_noise(shape: Sequence[int], seeds: Tensor) -> Tensor:
    """Independent standard normal numbers of shape (B, …), float32, on the device of seeds (B,)."""
    return normals(seeds, GAUSSIAN_STREAM, math.prod(shape[1:])).reshape(*shape)


def sample_timesteps(seeds: Tensor, steps: int) -> Tensor:
    """A time step for each sample, (B,) int64, uniform from 0 to `steps` − 1, of its own seed."""
    return integers(seeds, TIMESTEP_STREAM, 1, below=steps).squeeze(1)
