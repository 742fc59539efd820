"""One step of a diffusion U-Net's way down or up, and the two ways as lists of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from models.blocks.diffusion.attention import SelfAttention
from models.blocks.diffusion.residual import Resample, ResidualBlock


@dataclass(frozen=True)
class UNetSpec:
    """What all steps of a net have in common, and which levels attend."""

    embedding: int  # length of the vector that every residual block gets
    dropout: float
    attention_levels: frozenset[int]

    def block(
        self, in_channels: int, out_channels: int, resample: Resample | None = None
    ) -> ResidualBlock:
        return ResidualBlock(
            in_channels, out_channels, self.embedding, dropout=self.dropout, resample=resample
        )


class UNetStep(nn.Module):
    """A residual block, then attention if asked for, then a block that doubles the image."""

    def __init__(
        self, block: ResidualBlock, attention: SelfAttention | None, enlarge: ResidualBlock | None
    ) -> None:
        super().__init__()
        self.block = block
        self.attention = attention
        self.enlarge = enlarge

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        features = self.block(features, embedding)
        if self.attention is not None:
            features = self.attention(features)
        return features if self.enlarge is None else self.enlarge(features, embedding)


def way_down(
    spec: UNetSpec, width: int, widths: Sequence[int], blocks: int
) -> tuple[nn.ModuleList, list[int]]:
    """The steps from full resolution to the lowest, each of which leaves a skip connection.

    Args:
        width: channels that come in.
        widths: channels of each level.
        blocks: residual blocks of each level, before the one that halves the image.

    Returns:
        The steps, and the channels of every skip connection, the incoming features first.
    """
    steps = nn.ModuleList()
    skips = [width]
    for level, channels in enumerate(widths):
        for _ in range(blocks):
            attention = SelfAttention(channels) if level in spec.attention_levels else None
            steps.append(UNetStep(spec.block(skips[-1], channels), attention, None))
            skips.append(channels)
        if level < len(widths) - 1:
            steps.append(UNetStep(spec.block(channels, channels, "down"), None, None))
            skips.append(channels)
    return steps, skips


def way_up(
    spec: UNetSpec, widths: Sequence[int], blocks: int, skips: Sequence[int]
) -> nn.ModuleList:
    """The steps back to full resolution, each of which takes the last skip that is left."""
    steps = nn.ModuleList()
    left = list(skips)
    channels = widths[-1]
    for level in reversed(range(len(widths))):
        for number in range(blocks + 1):
            block = spec.block(channels + left.pop(), widths[level])
            channels = widths[level]
            attention = SelfAttention(channels) if level in spec.attention_levels else None
            last = number == blocks and level > 0
            steps.append(
                UNetStep(block, attention, spec.block(channels, channels, "up") if last else None)
            )
    return steps
