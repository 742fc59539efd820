"""A time step as a vector: sines and cosines at geometrically spaced frequencies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LONGEST_PERIOD = 10_000.0


def timestep_embedding(timesteps: Tensor, dim: int) -> Tensor:
    """The sinusoidal embedding of time steps.

    Source: Vaswani et al., "Attention is all you need" (2017), section 3.5, with the cosines
    first, as in Dhariwal & Nichol, "Diffusion models beat GANs on image synthesis" (2021).

    Args:
        timesteps: (B,), whole numbers or fractions.
        dim: length of the vector; the last entry of an odd one is 0.

    Returns:
        (B, dim) float32.
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / max(half, 1)
    angles = timesteps.float()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * exponents)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    return torch.nn.functional.pad(embedding, (0, dim - 2 * half))
