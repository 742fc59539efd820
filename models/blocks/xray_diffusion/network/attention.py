"""How voxels look at the X-rays."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.xray_diffusion.network.residual import norm_in_groups

NORM_GROUPS = 32


class CrossAttention(nn.Module):
    """Every voxel attends to all tokens of both X-rays, and what it finds is added to it.

    It starts as the identity. Voxels do not attend to each other, so that memory and time grow
    with the patch's volume, not with its square.

    Source: Rombach et al., "High-resolution image synthesis with latent diffusion models" (2022),
    section 3.3.
    """

    def __init__(self, channels: int, tokens: int, *, heads: int, head_channels: int) -> None:
        """A block with new weights.

        Args:
            tokens: features of a token.
        """
        super().__init__()
        inner = heads * head_channels
        self.heads = heads
        self.norm = norm_in_groups(NORM_GROUPS, channels)
        self.query = nn.Linear(channels, inner, bias=False)
        self.key = nn.Linear(tokens, inner, bias=False)
        self.value = nn.Linear(tokens, inner, bias=False)
        self.merge = nn.Linear(inner, channels)
        self.project_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.project_out.weight)
        nn.init.zeros_(self.project_out.bias)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """(B, C, D, H, W) and (B, N, tokens) to (B, C, D, H, W)."""
        voxels = self.norm(features).flatten(2).transpose(1, 2)
        query, key, value = (
            self._by_head(projected)
            for projected in (self.query(voxels), self.key(tokens), self.value(tokens))
        )
        found = F.scaled_dot_product_attention(query, key, value)
        found = self.project_out(self.merge(found.transpose(1, 2).flatten(2)))
        return features + found.transpose(1, 2).reshape(features.shape)

    def _by_head(self, values: Tensor) -> Tensor:
        """(B, N, heads · C) to (B, heads, N, C)."""
        batch, count, _ = values.shape
        return values.reshape(batch, count, self.heads, -1).transpose(1, 2)
