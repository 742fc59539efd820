"""Two X-rays as tokens that voxels can attend to."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models as zoo
from torchvision.ops.misc import FrozenBatchNorm2d

from models.blocks.diffusion.residual import group_norm
from models.blocks.xray_diffusion.network.position import plane_embedding

EncoderKind = Literal["resnet18", "convnext_tiny", "efficientnet_v2_s", "small"]
EncoderNorm = Literal["group", "frozen"]

SMALL_WIDTHS = (16, 32, 64)


class XrayEncoder(nn.Module):
    """Both views through one network; each place of its feature maps becomes a token.

    A 1×1 convolution brings the features to `tokens` channels, to which the place in the map and
    a learned vector of the view are added: rows are the volume's slices in both views, columns
    are not the same axis. Source of the networks: He et al. 2016 (ResNet), Liu et al. 2022
    (ConvNeXt), Tan & Le 2021 (EfficientNetV2).
    """

    def __init__(self, kind: EncoderKind, tokens: int, norm: EncoderNorm = "group") -> None:
        """An encoder with random weights.

        Args:
            kind: a network of torchvision, without its classifier and its dropped paths; or
                `small`: three strided convolutions, for small images on a CPU.
            tokens: features of a token, an even number.
            norm: `group` replaces batch normalisation, which two views of one patient have too
                few samples for, and which would tie a sample's result to its neighbours and to
                the number of ranks. `frozen` keeps the means and variances that came with the
                weights, and trains none of them. ConvNeXt has layer normalisation in any case.
        """
        super().__init__()
        self.features = tokens
        self.backbone, features = make_backbone(kind, norm)
        self.project = nn.Conv2d(features, tokens, 1)
        self.view = nn.Parameter(0.02 * torch.randn(2, tokens))

    def forward(self, xrays: Tensor) -> Tensor:
        """Front and side view (B, 2, H, W) in [0, 1] to tokens (B, 2·h·w, tokens)."""
        images = 2 * xrays.flatten(0, 1).unsqueeze(1) - 1
        maps = self.project(self.backbone(images))
        channels, rows, columns = maps.shape[1:]
        maps = maps + plane_embedding(rows, columns, channels).to(maps)
        tokens = maps.reshape(-1, 2, channels, rows * columns) + self.view[:, :, None]
        return tokens.transpose(2, 3).flatten(1, 2)


def make_backbone(kind: EncoderKind, norm: EncoderNorm) -> tuple[nn.Module, int]:
    """A network (B, 1, H, W) → (B, features, h, w) with random weights, and its features.

    Its tensors have torchvision's names. The first convolution takes one channel. No path is
    dropped at random: training must not depend on who draws random numbers when.
    """
    if kind == "small":
        return _small(), SMALL_WIDTHS[-1]
    if kind == "resnet18":
        net = zoo.resnet18(weights=None)
        net.conv1 = _grey(net.conv1)
        features = 512
    elif kind == "convnext_tiny":
        net = zoo.convnext_tiny(weights=None, stochastic_depth_prob=0.0)
        net.features[0][0] = _grey(net.features[0][0])
        features = 768
    else:
        net = zoo.efficientnet_v2_s(weights=None, stochastic_depth_prob=0.0)
        net.features[0][0] = _grey(net.features[0][0])
        features = 1280
    _replace_batch_norm(net, norm)
    return _without(net, "avgpool", "fc", "classifier"), features


def _replace_batch_norm(net: nn.Module, norm: EncoderNorm) -> None:
    for parent in list(net.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                count = layer.num_features
                frozen = FrozenBatchNorm2d(count, eps=layer.eps)
                parent.register_module(name, group_norm(count) if norm == "group" else frozen)


def _without(net: nn.Module, *names: str) -> nn.Module:
    children = net.named_children()
    return nn.Sequential(OrderedDict((name, part) for name, part in children if name not in names))


def _grey(layer: nn.Conv2d) -> nn.Conv2d:
    """A convolution like `layer` for one channel, with the first channel's weights.

    Scaled so that the result varies as much as that of three channels would.
    """
    grey = nn.Conv2d(
        1,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        stride=layer.stride,  # type: ignore[arg-type]
        padding=layer.padding,  # type: ignore[arg-type]
        bias=layer.bias is not None,
    )
    with torch.no_grad():
        grey.weight.copy_(layer.weight[:, :1] * layer.in_channels**0.5)
        if grey.bias is not None and layer.bias is not None:
            grey.bias.copy_(layer.bias)
    return grey


def _small() -> nn.Module:
    layers: list[nn.Module] = []
    convolution = partial(nn.Conv2d, kernel_size=3, stride=2, padding=1)
    channels = 1
    for width in SMALL_WIDTHS:
        layers += [convolution(channels, width), group_norm(width), nn.SiLU()]
        channels = width
    return nn.Sequential(*layers)
