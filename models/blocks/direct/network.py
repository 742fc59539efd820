"""The network that turns two X-rays into a small CT volume in one pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.direct.encoder import (
    LIFTED_CHANNELS,
    Lift,
    LiftedViews,
    ViewEncoder,
    ViewEncoderNorm,
    feature_volume,
)
from models.blocks.resampling import averaged, interpolated

SCALES = (4, 2, 1)  # edge of the volume over that of each scale, the coarsest first
SMALLEST_EDGE = 2 * SCALES[0]  # of the volume: instance normalisation needs more than one voxel


class DirectNetwork(nn.Module):
    """A shared planar encoder, a lift, and residual blocks at three scales with a head each.

    Each scale sees the lifted volume at its own size beside the features of the scale before, and
    its head adds to what the coarser ones have found, so that every head shapes the result.

    (B, 2, S, S) in [0, 1] → [(B, 1, N/4, N/4, N/4), (B, 1, N/2, …), (B, 1, N, N, N)], the last
    being the result; with `finest_head` another (B, 1, N, N, N) stands before it.
    """

    voxel_size: Tensor  # (3,) mm, of the volumes that it was trained on

    def __init__(
        self,
        *,
        size: int,
        width: int,
        volume_width: int,
        lift: Lift,
        norm: ViewEncoderNorm,
        residual_scale: float,
        finest_head: bool = False,
    ) -> None:
        """Random weights.

        Args:
            size: N, a multiple of 4 and at least 8.
            width: channels of the encoder's first convolution.
            volume_width: channels of the coarsest scale; each finer one has twice as many.
            lift: how features become depth.
            norm: of the encoder.
            residual_scale: what residual branches are multiplied by.
            finest_head: whether the finest scale's features have a head of their own as well.
        """
        super().__init__()
        self.size = size
        self.encoder = ViewEncoder(width, norm)
        self.lift = LiftedViews(self.encoder.channels, size, lift, norm)
        channels = [volume_width * 2**number for number in range(len(SCALES))]
        before = [0, *channels[:-1]]
        self.blocks = nn.ModuleList(
            InstanceBlock(LIFTED_CHANNELS + coarser, own, residual_scale)
            for coarser, own in zip(before, channels, strict=True)
        )
        self.last = nn.Sequential(
            nn.Conv3d(channels[-1], volume_width, 3, padding=1, bias=False),
            nn.InstanceNorm3d(volume_width, affine=True),
            nn.ReLU(inplace=True),
        )
        self.heads = nn.ModuleList(nn.Conv3d(own, 1, 1) for own in (*channels[:-1], volume_width))
        self.finest_head = nn.Conv3d(channels[-1], 1, 1) if finest_head else None
        for head in (
            *self.heads[1:],
            *([self.finest_head] if self.finest_head else []),
        ):  # which would else begin with noise on the coarser volume
            nn.init.zeros_(head.get_parameter("weight"))
            nn.init.zeros_(head.get_parameter("bias"))
        self.register_buffer("voxel_size", torch.ones(3))

    def forward(self, xrays: Tensor) -> list[Tensor]:
        """The volume at every scale, the coarsest first."""
        lifted = feature_volume(self.encoder, self.lift, xrays)
        found: list[Tensor] = []
        features: Tensor | None = None
        for number, factor in enumerate(SCALES):
            edge = self.size // factor
            seen = _resized(lifted, edge)
            if features is not None:
                seen = torch.cat([seen, _resized(features, edge)], dim=1)
            features = self.blocks[number](seen)
            coarser = _resized(found[-1], edge) if found else 0.0
            final = number == len(SCALES) - 1
            if final and self.finest_head is not None:
                found.append(coarser + self.finest_head(features))
            found.append(coarser + self.heads[number](self.last(features) if final else features))
        return found


class InstanceBlock(nn.Module):
    """Two 3³ convolutions with instance normalisation beside a shortcut.

    (B, in, D, H, W) → (B, out, D, H, W). Source: He et al., "Deep residual learning for image
    recognition", CVPR 2016; the scale of the branch: Szegedy et al., "Inception-v4", AAAI 2017.
    """

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.branch = nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv3d(outputs, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
        )
        self.shortcut = nn.Conv3d(inputs, outputs, 1, bias=False)

    def forward(self, volume: Tensor) -> Tensor:
        return F.relu(self.shortcut(volume) + self.scale * self.branch(volume))


def _resized(volume: Tensor, edge: int) -> Tensor:
    """Trilinear, each voxel's centre at its place; averaged where that makes it smaller."""
    if set(volume.shape[2:]) == {edge}:
        return volume
    if all(extent % edge == 0 for extent in volume.shape[2:]):
        return averaged(volume, [extent // edge for extent in volume.shape[2:]])
    return interpolated(volume, (edge, edge, edge))
