"""The encoder of an X-ray, and how its features become a first volume."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from models.blocks.resampling import interpolated

ViewEncoderNorm = Literal["batch", "group"]
Lift = Literal["mean", "rays"]

LIFTED_CHANNELS = 8
MOST_GROUPS = 32


class ViewEncoder(nn.Sequential):
    """A 7×7 convolution and three stages of two 3×3, each halving the image: 16 pixels a feature.

    (B, 1, H, W) → (B, 8·width, H / 16, W / 16), sides rounded up.
    """

    def __init__(self, width: int, norm: ViewEncoderNorm) -> None:
        """Random weights.

        Args:
            width: channels after the first convolution; every stage doubles them.
            norm: `group` does not mix samples, so that training does not depend on the ranks.
        """
        layers: list[nn.Module] = [
            nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False),
            *_normed(width, norm),
        ]
        for before, after in pairwise(width * 2**stage for stage in range(4)):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                *_normed(after, norm),
                nn.Conv2d(after, after, 3, padding=1, bias=False),
                *_normed(after, norm),
            ]
        super().__init__(*layers)
        self.channels = 8 * width


class LiftedViews(nn.Module):
    """Two views' features as one small volume of 8 channels: features become depth.

    An image lacks the axis that its rays ran along. Of every view's C features at a pixel, a
    convolution makes 8 for each of `depth` places on that axis.

    With `mean`, as published, views are averaged first, so that the network cannot tell one from
    the other; the volume stands as the front view has it. With `rays` each view is lifted along
    its own rays, the front view's from front to back, the lateral one's from right to left, and
    the two volumes are averaged. Both have the same weights.
    """

    def __init__(self, channels: int, depth: int, lift: Lift, norm: ViewEncoderNorm) -> None:
        super().__init__()
        self.lift = lift
        self.depth = depth
        self.fuse = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 1, bias=False), *_normed(channels // 2, norm)
        )
        self.deepen = nn.Conv2d(channels // 2, LIFTED_CHANNELS * depth, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, 2, C, h, w), front view first → (B, 8, h, depth, w) or, with `rays`, larger of both.

        The axes of the result are those of a volume: head to feet, front to back, right to left.
        """
        if self.lift == "mean":
            return self._deepened(features.mean(dim=1))
        front = self._deepened(features[:, 0])
        side = self._deepened(features[:, 1]).transpose(3, 4)
        extent = [max(pair) for pair in zip(front.shape[2:], side.shape[2:], strict=True)]
        return (_resized(front, extent) + _resized(side, extent)) / 2

    def _deepened(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, 8, h, depth, w)."""
        made = self.deepen(self.fuse(features))
        return made.unflatten(1, (LIFTED_CHANNELS, self.depth)).transpose(2, 3)


def _resized(volume: Tensor, extent: list[int]) -> Tensor:
    if list(volume.shape[2:]) == extent:
        return volume
    return interpolated(volume, extent)


def _normed(channels: int, norm: ViewEncoderNorm) -> tuple[nn.Module, nn.Module]:
    if norm == "batch":
        return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    return nn.GroupNorm(math.gcd(MOST_GROUPS, channels), channels), nn.ReLU(inplace=True)


def encoded(encoder: nn.Module, xrays: Tensor) -> Tensor:
    """The features of every view by one encoder: (B, 2, H, W) → (B, 2, C, h, w)."""
    features: Tensor = encoder(xrays.flatten(0, 1).unsqueeze(1))
    return features.unflatten(0, tuple(xrays.shape[:2]))


def feature_volume(encoder: nn.Module, lift: LiftedViews, xrays: Tensor) -> Tensor:
    """Two X-rays (B, 2, H, W) as the lifted volume (B, 8, h, d, w)."""
    volume: Tensor = lift(encoded(encoder, xrays))
    return volume
