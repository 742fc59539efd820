"""The network that sums a slice up in one vector, which then guides its reconstruction."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet

from models.blocks.diffusion.residual import group_norm
from models.blocks.encoder_weights import HEAD

SliceEncoderKind = Literal["resnet18", "resnet34", "resnet50", "resnet101", "small", "none"]
SliceEncoderNorm = Literal["batch", "group"]

SMALL_WIDTHS = (16, 32, 64, 128)


def make_encoder(
    kind: SliceEncoderKind, features: int, *, norm: SliceEncoderNorm = "batch"
) -> nn.Module | None:
    """An encoder with random weights, (B, 1, H, W) → (B, features); None for `none`.

    Source: Behrendt et al., "Guided reconstruction with conditioned diffusion models for
    unsupervised anomaly detection in brain MRIs" (2023), section 3: a ResNet (He et al. 2016)
    whose classifier is replaced by a layer of `features` outputs.

    Args:
        kind: a ResNet, or `small`: four strided convolutions, for small images on a CPU.
        norm: `batch` as published: in training a slice's vector depends on the slices that share
            its forward pass, and so on the number of ranks; afterwards on running means.
            `group` depends on the slice alone.
    """
    if kind == "none":
        return None
    if kind == "small":
        return SmallEncoder(features)
    build: Any = getattr(resnet, kind)
    encoder: nn.Module = build(
        num_classes=features, norm_layer=BatchNorm if norm == "batch" else group_norm
    )
    _take_grey(encoder)
    return encoder


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that uses its running means where a batch has none of its own.

    A single small slice leaves one value a channel, whose variance is not defined.
    """

    def forward(self, features: Tensor) -> Tensor:
        if self.training and features.numel() == features.shape[1]:
            return F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(features)


class SmallEncoder(nn.Sequential):
    """Four strided 3×3 convolutions, the mean over what is left of the image, one layer."""

    def __init__(self, features: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((1, *SMALL_WIDTHS)):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
            layers += [convolution, group_norm(after), nn.SiLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.add_module(HEAD, nn.Linear(SMALL_WIDTHS[-1], features))


def _take_grey(encoder: nn.Module) -> None:
    """Give the encoder a first convolution for one channel, initialised as its own was."""
    convolution = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    encoder.register_module("conv1", convolution)
