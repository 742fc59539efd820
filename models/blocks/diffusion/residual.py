"""The residual block of a diffusion U-Net, which a vector tells what to do."""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Resample = Literal["down", "up"]

NORM_GROUPS = 32


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation in 32 groups, or in as many as divide both 32 and `channels`."""
    return nn.GroupNorm(math.gcd(NORM_GROUPS, channels), channels)


def starting_at_zero(layer: nn.Conv2d) -> nn.Conv2d:
    """`layer` with zero weights: a block that ends in it starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions; an embedding scales and shifts what comes between them.

    With `resample` the block halves or doubles the image, before its first convolution and beside
    it. Source: Dhariwal & Nichol, "Diffusion models beat GANs on image synthesis" (2021), section
    3 and eq. 3 (adaptive group normalisation).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        *,
        dropout: float = 0.0,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * out_channels)
        self.norm2 = group_norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = starting_at_zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """The block's output.

        Args:
            features: (B, in_channels, H, W).
            embedding: (B, embedding).

        Returns:
            (B, out_channels, H', W'), where H' is H, H / 2 or 2 H.
        """
        hidden = self.conv1(self._resampled(F.silu(self.norm1(features))))
        scale, shift = self.modulation(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        hidden = F.silu(self.norm2(hidden) * (1 + scale) + shift)
        hidden = self.conv2(self.dropout(hidden))
        return self.shortcut(self._resampled(features)) + hidden

    def _resampled(self, features: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(features, 2)
        if self.resample == "up":
            return F.interpolate(features, scale_factor=2.0, mode="nearest")
        return features
