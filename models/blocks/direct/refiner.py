"""The network that makes a volume four times as fine along each axis."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.blocks.resampling import interpolated

FACTOR = 4
BlockKind = Literal["plain", "dense"]
DENSE_CONVOLUTIONS = 5
OCTANTS = 8  # fine voxels of a coarse one at each doubling


class Refiner(nn.Module):
    """Residual blocks and two doublings, whose result is added to the trilinear volume.

    The last convolution starts at zero, so that the untrained network gives the trilinear volume
    itself. No layer normalises: intensities are the CT numbers.

    (B, 1, n, n, n) → (B, 1, 4n, 4n, 4n). Source of the form: Lim et al., "Enhanced deep residual
    networks for single image super-resolution", CVPR workshops 2017.
    """

    voxel_size: Tensor  # (3,) mm, of the volumes that it was trained on

    def __init__(
        self,
        *,
        width: int,
        blocks: int,
        residual_scale: float,
        checkpointing: bool,
        kind: BlockKind = "plain",
    ) -> None:
        """Random weights but for the last convolution's.

        Args:
            width: channels at the coarse size; each doubling of the volume halves them.
            blocks: residual blocks at each of the three sizes.
            residual_scale: what residual branches are multiplied by.
            checkpointing: compute the blocks' features once more when gradients need them rather
                than keep them: less memory, the same gradients.
            kind: what the blocks are.
        """
        super().__init__()
        channels = [max(1, width // 2**number) for number in range(3)]
        self.first = nn.Conv3d(1, channels[0], 3, padding=1)
        self.sizes = nn.ModuleList(
            BlockRow(own, blocks, residual_scale, checkpointing, kind) for own in channels
        )
        self.doublings = nn.ModuleList(
            SubpixelDoubling(coarse, fine) for coarse, fine in pairwise(channels)
        )
        self.last = nn.Conv3d(channels[-1], 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.register_buffer("voxel_size", torch.ones(3))

    def forward(self, coarse: Tensor) -> Tensor:
        """The refined volume."""
        features = self.sizes[0](_channels_last(self.first(coarse)))
        for doubling, blocks in zip(self.doublings, self.sizes[1:], strict=True):
            features = blocks(_channels_last(doubling(features)))
        return trilinear(coarse) + self.last(features)


class BlockRow(nn.Module):
    """A row of blocks, whose features may be computed twice: (B, C, D, H, W) → the same shape."""

    def __init__(
        self, channels: int, count: int, scale: float, checkpointing: bool, kind: BlockKind
    ) -> None:
        super().__init__()
        block = PlainBlock if kind == "plain" else NestedBlock
        self.blocks = nn.ModuleList(block(channels, scale) for _ in range(count))
        self._checkpointing = checkpointing

    def forward(self, features: Tensor) -> Tensor:
        for block in self.blocks:
            if self._checkpointing and torch.is_grad_enabled():
                features = checkpoint(
                    block, features, use_reentrant=False, preserve_rng_state=False
                )
            else:
                features = block(features)
        return features


class PlainBlock(nn.Module):
    """Two 3³ convolutions beside the identity: (B, C, D, H, W) → the same shape."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.branch = nn.Sequential(
            nn.Conv3d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 3, padding=1),
        )

    def forward(self, volume: Tensor) -> Tensor:
        return volume + self.scale * self.branch(volume)


class NestedBlock(nn.Module):
    """Three dense blocks beside the identity: (B, C, D, H, W) → the same shape.

    Source: Wang et al., "ESRGAN: enhanced super-resolution generative adversarial networks", ECCV
    workshops 2018, whose residual-in-residual dense block this is, in 3-D; its scale is 0.2.
    """

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.branch = nn.Sequential(*(DenseBlock(channels, scale) for _ in range(3)))

    def forward(self, volume: Tensor) -> Tensor:
        return volume + self.scale * self.branch(volume)


class DenseBlock(nn.Module):
    """Five 3³ convolutions, each of all that is before it: (B, C, D, H, W) → the same shape."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        growth = max(1, channels // 2)
        outputs = [*[growth] * (DENSE_CONVOLUTIONS - 1), channels]
        self.convolutions = nn.ModuleList(
            nn.Conv3d(channels + number * growth, own, 3, padding=1)
            for number, own in enumerate(outputs)
        )

    def forward(self, volume: Tensor) -> Tensor:
        seen = [volume]
        for convolution in self.convolutions[:-1]:
            seen.append(F.leaky_relu(convolution(torch.cat(seen, dim=1)), 0.2))
        made: Tensor = self.convolutions[-1](torch.cat(seen, dim=1))
        return volume + self.scale * made


class SubpixelDoubling(nn.Module):
    """A convolution makes all 8 fine voxels of each coarse one: (B, C, D, H, W) → (B, C', 2D, …).

    They start alike, so that an untrained doubling leaves no chequerboard.

    Source: Shi et al., "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network", CVPR 2016; the start: Aitken et al., "Checkerboard
    artifact free sub-pixel convolution" (2017).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(inputs, outputs * OCTANTS, 3, padding=1)
        bias = self.convolution.bias
        assert bias is not None
        with torch.no_grad():
            for values in (self.convolution.weight, bias):
                values.copy_(values[::OCTANTS].repeat_interleave(OCTANTS, dim=0))

    def forward(self, volume: Tensor) -> Tensor:
        return shuffled(self.convolution(volume))


def shuffled(volume: Tensor) -> Tensor:
    """Groups of 8 channels as the 2³ voxels of one: (B, 8C, D, H, W) → (B, C, 2D, 2H, 2W)."""
    split = volume.unflatten(1, (volume.shape[1] // OCTANTS, 2, 2, 2))
    paired = split.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return paired.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def _channels_last(features: Tensor) -> Tensor:
    """The same numbers in the order in which convolutions of few channels take half the time."""
    return features.contiguous(memory_format=torch.channels_last_3d)


def trilinear(coarse: Tensor) -> Tensor:
    """The volume four times as fine along each axis by trilinear interpolation, the baseline."""
    return interpolated(coarse, [FACTOR * edge for edge in coarse.shape[2:]])
