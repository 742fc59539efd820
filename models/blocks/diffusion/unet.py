"""The U-Net that removes noise, told the time step and, if there is one, a condition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.diffusion.attention import SelfAttention
from models.blocks.diffusion.embedding import timestep_embedding
from models.blocks.diffusion.residual import group_norm, starting_at_zero
from models.blocks.diffusion.unet_steps import UNetSpec, UNetStep, way_down, way_up


class DiffusionUNet(nn.Module):
    """U-Net of residual blocks, attention in the middle, a skip from every block to its mirror.

    The time step is embedded by a two-layer perceptron; a condition vector goes through another
    of the same size, and both vectors are concatenated into the embedding that every residual
    block gets. Images of any size are taken: they are padded to what the levels can halve.

    Source: Dhariwal & Nichol, "Diffusion models beat GANs on image synthesis" (2021), section 3;
    the condition as in Behrendt et al., "Guided reconstruction with conditioned diffusion models
    for unsupervised anomaly detection in brain MRIs" (2023), section 3.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 2),
        blocks: int = 3,
        attention_levels: Sequence[int] = (),
        dropout: float = 0.0,
        condition: int | None = None,
    ) -> None:
        """A net with new weights.

        Args:
            width: channels at full resolution, before the level's multiplier.
            multipliers: one a level; each level has half the resolution of the one above it.
            blocks: residual blocks of a level on the way down; one more on the way up.
            attention_levels: levels, 0 being full resolution, with attention after each block;
                between the way down and the way up there always is one.
            condition: length of the condition vector; None for a net without one.
        """
        super().__init__()
        self.width = width
        self.levels = len(multipliers)
        self.time_embed = _perceptron(width, 4 * width)
        self.condition_embed = None if condition is None else _perceptron(condition, 4 * width)
        embedding = 4 * width * (1 if condition is None else 2)
        spec = UNetSpec(embedding, dropout, frozenset(attention_levels))
        widths = [width * multiplier for multiplier in multipliers]
        deepest = widths[-1]
        self.conv_in = nn.Conv2d(1, width, 3, padding=1)
        self.down, skips = way_down(spec, width, widths, blocks)
        self.middle = nn.ModuleList(
            [
                UNetStep(spec.block(deepest, deepest), SelfAttention(deepest), None),
                UNetStep(spec.block(deepest, deepest), None, None),
            ]
        )
        self.up = way_up(spec, widths, blocks, skips)
        self.norm_out = group_norm(widths[0])
        self.conv_out = starting_at_zero(nn.Conv2d(widths[0], 1, 3, padding=1))

    def forward(self, image: Tensor, timesteps: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the net was trained to predict.

        Args:
            image: (B, 1, H, W).
            timesteps: (B,) int64.
            condition: (B, condition), where the net has one.

        Returns:
            (B, 1, H, W).
        """
        height, width = image.shape[-2:]
        embedding = self._embedding(timesteps, condition)
        hidden = self.conv_in(self._padded(image))
        skips = [hidden]
        for step in self.down:
            hidden = step(hidden, embedding)
            skips.append(hidden)
        for step in self.middle:
            hidden = step(hidden, embedding)
        for step in self.up:
            hidden = step(torch.cat([hidden, skips.pop()], dim=1), embedding)
        return self.conv_out(F.silu(self.norm_out(hidden)))[..., :height, :width]

    def _embedding(self, timesteps: Tensor, condition: Tensor | None) -> Tensor:
        time = self.time_embed(timestep_embedding(timesteps, self.width))
        if self.condition_embed is None:
            return time
        if condition is None:
            raise ValueError("this net was built with a condition and needs one")
        return torch.cat([time, self.condition_embed(condition)], dim=1)

    def _padded(self, image: Tensor) -> Tensor:
        multiple = 2 ** (self.levels - 1)
        height, width = (-size % multiple for size in image.shape[-2:])
        return F.pad(image, (0, width, 0, height), mode="replicate") if height or width else image


def _perceptron(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.SiLU(), nn.Linear(outputs, outputs))
