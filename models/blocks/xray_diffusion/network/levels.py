"""The levels of the three-dimensional U-Net: down, the middle, and up again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.blocks.xray_diffusion.network.attention import CrossAttention
from models.blocks.xray_diffusion.network.residual import ResidualBlock3d


@dataclass(frozen=True, kw_only=True)
class LevelSpec:
    """What all levels of a net have in common."""

    embedding: int  # length of the vector that every residual block gets
    tokens: int  # features of a token
    heads: int
    head_channels: int
    checkpointed: bool  # recompute activations in the backward pass instead of keeping them

    def step(self, in_channels: int, out_channels: int, attends: bool) -> LevelStep:
        """A residual block, and cross-attention after it if the level `attends`."""
        attention = None
        if attends:
            attention = CrossAttention(
                out_channels, self.tokens, heads=self.heads, head_channels=self.head_channels
            )
        return LevelStep(ResidualBlock3d(in_channels, out_channels, self.embedding), attention)


class LevelStep(nn.Module):
    """A residual block, then cross-attention if there is one."""

    def __init__(self, block: ResidualBlock3d, attention: CrossAttention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, features: Tensor, embedding: Tensor, tokens: Tensor | None) -> Tensor:
        features = self.block(features, embedding)
        if self.attention is None or tokens is None:
            return features
        return self.attention(features, tokens)


def run(checkpointed: bool, part: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
    """`part` of `inputs`, of which only the inputs are kept for the backward pass if asked for."""
    if not checkpointed or not torch.is_grad_enabled():
        return part(*inputs)
    # No layer of this net draws random numbers, so their state need not be kept.
    found: Tensor = checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
    return found


class DownLevel(nn.Module):
    """Steps at one resolution, whose result is also left for the way up, then half of it."""

    def __init__(
        self, spec: LevelSpec, in_channels: int, channels: int, *, blocks: int, attends: bool
    ) -> None:
        super().__init__()
        self.attends = attends
        self._checkpointed = spec.checkpointed
        self.steps = nn.ModuleList(
            spec.step(in_channels if number == 0 else channels, channels, attends)
            for number in range(blocks)
        )
        self.shrink = nn.Conv3d(channels, channels, 3, stride=2, padding=1)

    def forward(
        self, features: Tensor, embedding: Tensor, tokens: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(B, in_channels, D, H, W) to the skip connection (B, channels, D, H, W) and its half."""
        for step in self.steps:
            features = run(self._checkpointed, step, features, embedding, tokens)
        return features, self.shrink(features)


class Middle(nn.Module):
    """Steps at the lowest resolution; the first attends."""

    def __init__(self, spec: LevelSpec, channels: int) -> None:
        super().__init__()
        self._checkpointed = spec.checkpointed
        self.steps = nn.ModuleList(
            spec.step(channels, channels, attends) for attends in (True, False)
        )

    def forward(self, features: Tensor, embedding: Tensor, tokens: Tensor) -> Tensor:
        """(B, channels, D, H, W) to the same shape."""
        for step in self.steps:
            features = run(self._checkpointed, step, features, embedding, tokens)
        return features


class UpLevel(nn.Module):
    """Twice the resolution, the skip connection beside it, then steps."""

    def __init__(
        self, spec: LevelSpec, in_channels: int, channels: int, *, blocks: int, attends: bool
    ) -> None:
        super().__init__()
        self.attends = attends
        self._checkpointed = spec.checkpointed
        self.enlarge = nn.ConvTranspose3d(in_channels, in_channels, 4, stride=2, padding=1)
        self.steps = nn.ModuleList(
            spec.step(2 * in_channels if number == 0 else channels, channels, attends)
            for number in range(blocks)
        )

    def forward(
        self, features: Tensor, skip: Tensor, embedding: Tensor, tokens: Tensor | None
    ) -> Tensor:
        """(B, in_channels, D/2, …) and its skip (B, in_channels, D, …) to (B, channels, D, …)."""
        features = run(self._checkpointed, self._first, features, skip, embedding, tokens)
        for step in self.steps[1:]:
            features = run(self._checkpointed, step, features, embedding, tokens)
        return features

    def _first(
        self, features: Tensor, skip: Tensor, embedding: Tensor, tokens: Tensor | None
    ) -> Tensor:
        """Doubling and joining are the largest tensors of a level: they are recomputed as well."""
        joined = torch.cat([self.enlarge(features), skip], dim=1)
        found: Tensor = self.steps[0](joined, embedding, tokens)
        return found
