"""A loss in the features of VGG16, on slices of volumes.

Source: Johnson, Alahi & Fei-Fei, "Perceptual losses for real-time style transfer and
super-resolution", ECCV 2016, with L1 in place of L2; the network: Simonyan & Zisserman, "Very
deep convolutional networks for large-scale image recognition", ICLR 2015.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.blocks.diffusion.hashing import uniforms
from models.weights_file import read_tensors
from protocol.errors import SettingsError

KEY = "recipe.perceptual_weights_file"
# Channels of the convolutions up to relu3_3, "M" where the image is halved.
CONFIGURATION: list[int | str] = [64, 64, "M", 128, 128, "M", 256, 256, 256]
TAPS = (3, 8, 15)  # places of relu1_2, relu2_2 and relu3_3 in torchvision's `features`
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the colours it was trained on

# What goes through the network at once: the features of more are computed twice instead of kept.
PIXELS_AT_ONCE = 2**21
SLICE_STREAM = 31  # of the samples' seeds; one more for each axis

_log = logging.getLogger(__name__)


class PerceptualLoss:
    """The mean L1 error of three layers' features on slices of all three orientations."""

    def __init__(self, weights_file: Path, slices: Literal["all"] | int) -> None:
        """Read the weights; they stay outside of any model's state.

        Raises:
            SettingsError: the file cannot be read, or is of another network.
        """
        self._network = load_features(weights_file)
        self._slices = slices
        _log.info("the perceptual term compares features of VGG16 from %s", weights_file)

    def __call__(self, result: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        """A scalar, the mean over the batch.

        Args:
            result, target: (B, 1, D, H, W), of at least 4 voxels a side.
            seeds: (B,) int64: which slices are looked at is a sample's own affair.
        """
        self._network.to(result.device)
        total = result.new_zeros(())
        for axis in range(3):
            chosen = self._places(seeds, result.shape[2 + axis], axis)
            pair = slices_along(result, axis, chosen), slices_along(target, axis, chosen)
            total = total + self._error(*pair)
        return total / 3

    def _places(self, seeds: Tensor, extent: int, axis: int) -> Tensor | None:
        if self._slices == "all" or self._slices >= extent:
            return None
        return chosen_slices(seeds, extent, self._slices, SLICE_STREAM + axis)

    def _error(self, result: Tensor, target: Tensor) -> Tensor:
        """The mean error of images (N, 1, H, W), some at a time."""
        some = max(1, PIXELS_AT_ONCE // result[0].numel())
        if len(result) <= some:
            return self._error_of(result, target)
        total = result.new_zeros(())
        for x, y in zip(result.split(some), target.split(some), strict=True):
            share = len(x) / len(result)
            error = checkpoint(self._error_of, x, y, use_reentrant=False, preserve_rng_state=False)
            total = total + share * error
        return total

    def _error_of(self, result: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            expected = list(self._features(target))
        errors = [
            F.l1_loss(found.float(), wanted.float())
            for found, wanted in zip(self._features(result), expected, strict=True)
        ]
        return torch.stack(errors).mean()

    def _features(self, images: Tensor) -> Iterator[Tensor]:
        """The three layers' features of images (N, 1, H, W) in [0, 1]."""
        mean, deviation = (images.new_tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        features = (images - mean) / deviation
        for number, layer in enumerate(self._network):
            features = layer(features)
            if number in TAPS:
                yield features


def slices_along(volume: Tensor, axis: int, chosen: Tensor | None) -> Tensor:
    """Slices across an axis as images: (B, 1, D, H, W) → (B·n, 1, rows, columns).

    Args:
        axis: 0 for axial slices, 1 for coronal, 2 for sagittal ones.
        chosen: (B, n) int64, which of them in each sample; None for all.
    """
    images = volume.squeeze(1).movedim(1 + axis, 1)
    if chosen is not None:
        samples = torch.arange(len(images), device=images.device)[:, None]
        images = images[samples, chosen]
    return images.flatten(0, 1)[:, None]


def chosen_slices(seeds: Tensor, extent: int, count: int, stream: int) -> Tensor:
    """(B, count) places of slices, one at random in each of `count` equal parts of an axis."""
    places = torch.arange(count, device=seeds.device) + uniforms(seeds, stream, count)
    return (places * extent / count).long().clamp_max(extent - 1)


def check_weights_file(path: Path) -> None:
    """Refuse a file that `load_features` would refuse.

    Raises:
        SettingsError: as from `load_features`.
    """
    _fitting(path, _features().state_dict())


def load_features(path: Path) -> nn.Sequential:
    """VGG16 up to relu3_3 with the weights of a file, frozen.

    Raises:
        SettingsError: the file cannot be read, or is of another network.
    """
    network = _features()
    network.load_state_dict(_fitting(path, network.state_dict()), assign=True)
    return network.requires_grad_(False).eval()


def _fitting(path: Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = read_tensors(path, key=KEY, without="to go without the perceptual term")
    fitting = {}
    for name, tensor in own.items():
        candidate = found.get(f"features.{name}", found.get(name))
        if candidate is None or candidate.shape != tensor.shape:
            has = "none" if candidate is None else str(tuple(candidate.shape))
            raise SettingsError(
                f"{path} is not of VGG16: for features.{name} found {has}, expected "
                f"{tuple(tensor.shape)}; give the weights that torchvision has for vgg16",
                key=KEY,
            )
        fitting[name] = candidate.float()
    return fitting


def _features() -> nn.Sequential:
    """The layers without weights, named as in torchvision's `features`."""
    from torchvision.models.vgg import make_layers  # slow to import, and not always needed

    with torch.device("meta"):
        return make_layers(CONFIGURATION)
