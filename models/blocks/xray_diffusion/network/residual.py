"""The residual block of the three-dimensional U-Net, which the time step tells what to do."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

NORM_GROUPS = 8


def norm_in_groups(most: int, channels: int) -> nn.GroupNorm:
    """Normalisation in at most `most` groups, of two channels at least.

    A patch may be a single voxel at the lowest resolution: one channel would be one number there,
    which has no variance.
    """
    return nn.GroupNorm(math.gcd(most, max(channels // 2, 1)), channels)


class ResidualBlock3d(nn.Module):
    """Two 3×3×3 convolutions, each normalised in groups; an embedding scales what lies between.

    Source: He et al., "Deep residual learning for image recognition" (2016), with the scale and
    shift of Perez et al., "FiLM: visual reasoning with a general conditioning layer" (2018), eq. 1.
    """

    def __init__(self, in_channels: int, out_channels: int, embedding: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(embedding, 2 * out_channels)
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.norm1 = norm_in_groups(NORM_GROUPS, out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1)
        self.norm2 = norm_in_groups(NORM_GROUPS, out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """(B, in_channels, D, H, W) and (B, embedding) to (B, out_channels, D, H, W)."""
        scale, shift = self.modulation(F.silu(embedding))[:, :, None, None, None].chunk(2, dim=1)
        hidden = F.silu(self.norm1(self.conv1(features))) * (1 + scale) + shift
        hidden = F.silu(self.norm2(self.conv2(hidden)))
        return self.shortcut(features) + hidden
