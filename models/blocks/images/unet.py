"""Planar U-Nets for post-processing an image, of any size and of one channel.

Source of the form: Ronneberger et al., "U-Net: convolutional networks for biomedical image
segmentation", MICCAI 2015; as a post-processor of FBP: Jin et al., "Deep convolutional neural
network for inverse problems in imaging", IEEE TIP 26 (2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.resampling import BilinearDoubling

Norm = Literal["none", "batch", "group"]
Head = Literal["sigmoid", "linear", "residual"]
Skip = Literal["full"] | int  # channels that a level hands to its decoder; `full` is all of them

PUBLISHED_CHANNELS = (64, 128, 256, 512, 1024)
SMALL_CHANNELS = (32, 32, 64, 64, 128)
SMALL_SKIP = 4
LEAK = 0.2  # slope of the small network's LeakyReLU below zero
MOST_GROUPS = 8  # of a group normalisation


class UNet(nn.Module):
    """Levels that halve the image, levels that double it again, and a head.

    An image whose sides are no multiples of 2^(levels − 1) is continued by its border pixels, and
    the result cut to size again.
    """

    def __init__(
        self, down: Iterable[nn.Module], up: Iterable[DecoderLevel], channels: int, head: Head
    ) -> None:
        """Assemble the levels, from the finest down and from the coarsest up.

        Args:
            down: maps the image to `channels` features, then each halves the last one's.
            up: one fewer.
            channels: of the last of `up`.
            head: `sigmoid` squeezes the result into (0, 1), `linear` leaves it as it is,
                `residual` adds it to the image, beginning with nothing (Jin et al. 2017).
        """
        super().__init__()
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList(up)
        self.last = nn.Conv2d(channels, 1, 1)
        self.head = head
        if head == "residual":
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, 1, H, W)."""
        height, width = image.shape[-2:]
        features = _padded(image, 2 ** (len(self.down) - 1))
        kept: list[Tensor] = []
        for level in self.down:
            features = level(features)
            kept.append(features)
        kept.pop()
        for level in self.up:
            features = level(features, kept.pop())
        result: Tensor = self.last(features)[..., :height, :width]
        if self.head == "residual":
            return image + result
        return result.sigmoid() if self.head == "sigmoid" else result


class DecoderLevel(nn.Module):
    """Doubles the coarser level's features and joins what the same level kept on the way down."""

    def __init__(self, upsample: nn.Module, skip: nn.Module, join: nn.Module) -> None:
        super().__init__()
        self.upsample = upsample
        self.skip = skip
        self.join = join

    def forward(self, coarse: Tensor, kept: Tensor) -> Tensor:
        """(B, C, h, w) and (B, c, 2h, 2w) → (B, c, 2h, 2w)."""
        joined: Tensor = self.join(torch.cat((self.upsample(coarse), self.skip(kept)), dim=1))
        return joined


def published_unet(*, head: Head = "sigmoid") -> UNet:
    """The published network: 30 928 129 parameters.

    Levels of 64-128-256-512-1024 channels with two 3×3 convolutions each, and transposed
    convolutions. At full resolution the decoder is the head itself, 1×1 convolutions of
    128 → 64 → 1 channels.
    """
    return pooled_unet(PUBLISHED_CHANNELS, head=head, pointwise_top=True)


def small_unet(*, head: Head = "sigmoid") -> UNet:
    """The small network: 610 673 parameters.

    Strided convolutions on the way down, bilinear doubling on the way up, skips of 4 channels,
    batch normalisation and LeakyReLU (Leuschner et al., "Quantitative comparison of deep
    learning-based image reconstruction methods", J. Imaging 7 (2021), FBP + U-Net).
    """
    down = [nn.Sequential(*_leaky(1, SMALL_CHANNELS[0]))]
    down += [
        nn.Sequential(*_leaky(finer, coarser, stride=2), *_leaky(coarser, coarser))
        for finer, coarser in pairwise(SMALL_CHANNELS)
    ]
    up = [
        DecoderLevel(
            BilinearDoubling(),
            nn.Sequential(*_leaky(finer, SMALL_SKIP, kernel=1)),
            nn.Sequential(
                nn.BatchNorm2d(coarser + SMALL_SKIP),
                *_leaky(coarser + SMALL_SKIP, finer),
                *_leaky(finer, finer),
            ),
        )
        for finer, coarser in reversed(list(pairwise(SMALL_CHANNELS)))
    ]
    return UNet(down, up, SMALL_CHANNELS[0], head)


def pooled_unet(
    channels: tuple[int, ...],
    *,
    skip: Skip = "full",
    norm: Norm = "none",
    head: Head = "sigmoid",
    pointwise_top: bool = False,
) -> UNet:
    """The published form with other measures: max pooling, ReLU, transposed convolutions.

    Args:
        channels: of each level, the finest first.
        skip: how many channels a level hands to its decoder, through a 1×1 convolution.
        norm: after every 3×3 convolution.
        head: what becomes of the last features, see `UNet`.
        pointwise_top: a 1×1 convolution in place of the finest decoder's two 3×3 ones.
    """
    down = [_double(1, channels[0], norm)]
    up: list[DecoderLevel] = []
    for finer, coarser in pairwise(channels):
        down.append(nn.Sequential(nn.MaxPool2d(2), _double(finer, coarser, norm)))
        kept = finer if skip == "full" else skip
        joined = finer + kept
        pointwise = pointwise_top and not up
        up.append(
            DecoderLevel(
                nn.ConvTranspose2d(coarser, finer, kernel_size=2, stride=2),
                nn.Identity() if skip == "full" else _pointwise(finer, kept, norm),
                _pointwise(joined, finer, norm) if pointwise else _double(joined, finer, norm),
            )
        )
    return UNet(down, reversed(up), channels[0], head)


def _padded(image: Tensor, multiple: int) -> Tensor:
    """The image continued to multiples, two at least: one value has no variance to normalise."""
    height, width = (
        max(2, math.ceil(side / multiple)) * multiple - side for side in image.shape[-2:]
    )
    return F.pad(image, (0, width, 0, height), mode="replicate")


def _double(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(*_relu(inputs, outputs, 3, norm), *_relu(outputs, outputs, 3, norm))


def _pointwise(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(*_relu(inputs, outputs, 1, norm))


def _relu(inputs: int, outputs: int, kernel: int, norm: Norm) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return [convolution, *_normalisation(norm, outputs), nn.ReLU()]


def _leaky(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
    return [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(LEAK)]


def _normalisation(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "none":
        return []
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "group":
        return [nn.GroupNorm(math.gcd(channels, MOST_GROUPS), channels)]
    assert_never(norm)
