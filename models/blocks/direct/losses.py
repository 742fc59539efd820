"""The weighted loss terms between volumes; a weight of 0 spares the term's computation as well."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from models.blocks.direct.perceptual import PerceptualLoss, check_weights_file
from models.blocks.images.volume_metrics import similarity
from models.blocks.recipe_keys import Weight
from models.family import FamilySettings
from protocol.errors import SettingsError

_log = logging.getLogger(__name__)


class VolumeLossSettings(FamilySettings):
    """The recipe keys of the loss."""

    l1_weight: Weight = Field(1.0, description="of the mean absolute error per voxel")
    ssim_weight: Weight = Field(
        0.5, description="of 1 − SSIM, with a window over three axes, on all voxels"
    )
    edge_weight: Weight = Field(
        0.1,
        description="of the L1 error of the gradient per voxel, by 3-D Sobel filters, on all "
        "voxels; 0.87 to 1.4 is as strong as the published 0.1, whose filters are not normalised",
    )
    perceptual_weight: Weight = Field(
        0.1,
        description="of the L1 error of VGG16's features (relu1_2, relu2_2, relu3_3) on axial, "
        "coronal and sagittal slices; needs `perceptual_weights_file`",
    )
    perceptual_weights_file: Path | None = Field(
        None,
        description="VGG16's weights as torchvision has them, .pth or .safetensors; without it "
        "the perceptual term is off",
    )
    loss_slices: Literal["all"] | PositiveInt = Field(
        "all",
        description="slices of each orientation that the perceptual term looks at: `all`, or so "
        "many at random places, others in each epoch",
    )

    @model_validator(mode="after")
    def _some_term_is_left(self) -> Self:
        weights = [value for key, value in self if key.endswith("_weight")]
        if not any(weight > 0 for weight in weights):
            raise ValueError("all weights of the loss are 0; expected one above 0 at least")
        return self


class VolumeLoss:
    """The terms that the settings weigh above 0."""

    def __init__(self, settings: VolumeLossSettings) -> None:
        """Nothing is read yet."""
        self._settings = settings

    def check(self) -> None:
        """Look into the file of weights, if it is to be used.

        Raises:
            SettingsError: it cannot be read, is of another network, or is lacking where the
                perceptual term is the only one.
        """
        settings = self._settings
        if settings.perceptual_weight == 0:
            return
        if settings.perceptual_weights_file is not None:
            check_weights_file(settings.perceptual_weights_file)
        elif not any(value for key, value in settings if _is_other_weight(key)):
            raise SettingsError(
                "found none, but the perceptual term is the only "
                "one of the loss; name VGG16's weights, or give another term a weight",
                key="recipe.perceptual_weights_file",
            )

    def terms(self, result: Tensor, target: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Every weighted term, a scalar mean over the batch.

        Args:
            result: (B, 1, D, H, W).
            target: the same shape, in [0, 1].
            seeds: (B,) int64, by which slices are chosen.
        """
        settings, result = self._settings, result.float()
        terms: dict[str, Tensor] = {}
        if settings.l1_weight > 0:
            terms["l1"] = settings.l1_weight * F.l1_loss(result, target)
        if settings.ssim_weight > 0:
            terms["ssim"] = settings.ssim_weight * (1 - similarity(result, target)).mean()
        if settings.edge_weight > 0:
            terms["edge"] = settings.edge_weight * edge_error(result, target)
        if self._perceptual is not None:
            error = self._perceptual(result, target, seeds)
            terms["perceptual"] = settings.perceptual_weight * error
        return terms

    @cached_property
    def _perceptual(self) -> PerceptualLoss | None:
        settings = self._settings
        if settings.perceptual_weight == 0:
            return None
        if settings.perceptual_weights_file is None:
            _log.warning(
                "the perceptual term is off: recipe.perceptual_weights_file names no weights of "
                "VGG16, and none are downloaded"
            )
            return None
        return PerceptualLoss(settings.perceptual_weights_file, settings.loss_slices)


def edge_error(result: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference of the gradients' three components, per voxel; a scalar.

    By Sobel filters over 3³ voxels, scaled to a difference per voxel, where they fit inside.

    Args:
        result, target: (B, 1, D, H, W), each side 3 voxels at least.
    """
    # Filters are linear: those of a difference are the difference of the filtered.
    difference = F.conv3d(result - target, _sobel(result))
    return difference.abs().mean()


def _sobel(like: Tensor) -> Tensor:
    """(3, 1, 3, 3, 3): a derivative along one axis, smoothed along the two others."""
    slope, smooth = like.new_tensor([-0.5, 0, 0.5]), like.new_tensor([0.25, 0.5, 0.25])
    taps = [[slope if axis == own else smooth for axis in range(3)] for own in range(3)]
    filters = [torch.einsum("i,j,k->ijk", *axes) for axes in taps]
    return torch.stack(filters)[:, None]


def _is_other_weight(key: str) -> bool:
    return key.endswith("_weight") and key != "perceptual_weight"
