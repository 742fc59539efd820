"""The whole model: what the X-rays show, and the noise of a patch in the light of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.blocks.xray_diffusion.network.encoder import XrayEncoder
from models.blocks.xray_diffusion.network.ends import Entry, Exit
from models.blocks.xray_diffusion.network.levels import DownLevel, LevelSpec, Middle, UpLevel


class XrayDiffusion(nn.Module):
    """Sees the noise in a patch of a CT volume, given the volume's two X-rays.

    A three-dimensional U-Net that is told the time step, where the patch lies, and what the X-rays
    show. Every level halves the patch after its residual blocks and leaves one skip connection.

    The published net has three projections more in every attention block, which no result passes
    through: with them its 33.5 million weights, without the encoder's, are the 34.3 of four levels
    of width 32; 69.8 are the 71.7 of width 48, and 120.4 the 123.7 of width 64.

    Source: Ronneberger et al. 2015 (U-Net), with the conditioning of Rombach et al., "High-
    resolution image synthesis with latent diffusion models" (2022), section 3.3.
    """

    def __init__(
        self,
        encoder: XrayEncoder,
        *,
        channels: Sequence[int] = (32, 64, 128, 256),
        blocks: int = 2,
        attention_levels: Sequence[int] = (1, 2, 3),
        heads: int = 8,
        head_channels: int = 64,
        checkpointed: bool = False,
    ) -> None:
        """A model with new weights, but for the encoder's.

        Args:
            channels: of each level; each has half the resolution of the one above it.
            blocks: residual blocks of a level, on the way down as on the way up.
            attention_levels: levels, 0 being full resolution, with cross-attention after each
                block; the middle always has it.
            checkpointed: recompute activations in the backward pass: less memory, more time, the
                same gradients.
        """
        super().__init__()
        self.encoder = encoder
        width = channels[0]
        spec = LevelSpec(
            embedding=4 * width,
            tokens=encoder.features,
            heads=heads,
            head_channels=head_channels,
            checkpointed=checkpointed,
        )
        self.entry = Entry(width, checkpointed=checkpointed)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()  # by level: `up` is run backwards
        for level, (above, own) in enumerate(pairwise((width, *channels))):
            attends = level in attention_levels
            self.down.append(DownLevel(spec, above, own, blocks=blocks, attends=attends))
            self.up.append(UpLevel(spec, own, above, blocks=blocks, attends=attends))
        self.middle = Middle(spec, channels[-1])
        self.exit = Exit(width, checkpointed=checkpointed)

    def forward(
        self, noisy: Tensor, timesteps: Tensor, xrays: Tensor, corner: Tensor, extent: Tensor
    ) -> Tensor:
        """ε̂ of each voxel.

        Args:
            noisy: (B, 1, D, H, W), x_t; each side a multiple of 2 to the power of the levels.
            timesteps: (B,) int64.
            xrays: (B, 2, S, S) in [0, 1], front view first.
            corner: (B, 3) int64, where in its volume the patch begins.
            extent: (B, 3) int64, the volume's size.

        Returns:
            (B, 1, D, H, W).
        """
        tokens = self.encoder(xrays)
        hidden, embedding = self.entry(noisy, timesteps, corner, extent)
        skips = []
        for level in self.down:
            skip, hidden = level(hidden, embedding, tokens)
            skips.append(skip)
        hidden = self.middle(hidden, embedding, tokens)
        for level in reversed(self.up):
            hidden = level(hidden, skips.pop(), embedding, tokens)
        return self.exit(hidden)
