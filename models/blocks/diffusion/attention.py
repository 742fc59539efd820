"""Self-attention between all pixels of a feature map."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.diffusion.residual import group_norm, starting_at_zero

HEAD_CHANNELS = 64


def heads_for(channels: int) -> int:
    """As many heads of at least 64 channels as divide `channels` evenly, and one at least."""
    most = max(1, channels // HEAD_CHANNELS)
    return next(heads for heads in range(most, 0, -1) if channels % heads == 0)


class SelfAttention(nn.Module):
    """Every pixel attends to every pixel, and what it finds is added to it.

    Source: Vaswani et al., "Attention is all you need" (2017), eq. 1; heads of 64 channels as in
    Dhariwal & Nichol, "Diffusion models beat GANs on image synthesis" (2021), section 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = heads_for(channels)
        self.norm = group_norm(channels)
        self.project_in = nn.Conv2d(channels, 3 * channels, 1)
        self.project_out = starting_at_zero(nn.Conv2d(channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        batch, channels, height, width = features.shape
        projected = self.project_in(self.norm(features))
        # (B, 3 · heads · C', H W) to three of (B, heads, H W, C')
        split = projected.reshape(batch, 3, self.heads, channels // self.heads, height * width)
        query, key, value = split.transpose(3, 4).unbind(dim=1)
        found = F.scaled_dot_product_attention(query, key, value)
        found = found.transpose(2, 3).reshape(batch, channels, height, width)
        return features + self.project_out(found)
