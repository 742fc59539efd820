"""Two X-rays to a small CT volume in one pass: the first stage of direct regression."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from data.xray_ct.dataset import XrayCtVolumes
from data.xray_ct.settings import XrayCtSettings
from models.blocks.direct.encoder import Lift, ViewEncoderNorm
from models.blocks.direct.losses import VolumeLoss, VolumeLossSettings
from models.blocks.direct.network import SCALES, SMALLEST_EDGE, DirectNetwork
from models.blocks.images.volume_pictures import compare_volumes
from models.blocks.images.volumes import DIRECTIONS, scores, usual_voxel_size, volume_of
from models.blocks.recipe_keys import Weight
from models.family import Batch, Direction, Family, MapDataset, Split, Volume
from models.pictures import Picture
from models.program import XraysProgram
from protocol.errors import SettingsError

SMALLEST_XRAY = 32  # pixels: 2 × 2 features


class Direct64Settings(VolumeLossSettings):
    """The recipe keys of `direct64`; published values stand in the preset."""

    width: PositiveInt = Field(
        64,
        description="channels of the encoder's first convolution; 64 with `volume_width` 32 makes "
        "6.99 million weights, 112 with 32 makes 17.7",
    )
    volume_width: PositiveInt = Field(
        32,
        description="channels of the coarsest of three scales; finer ones have 2 and 4 times",
    )
    lift: Lift = Field(
        "mean",
        description="how features become depth: of the `mean` of the views, as published, or of "
        "each view along its own `rays`",
    )
    encoder_norm: ViewEncoderNorm = Field(
        "batch",
        description="of the encoder: `batch` as published, or `group`, with which training does "
        "not depend on the number of ranks",
    )
    residual_scale: float = Field(
        1.0, gt=0, le=1, description="what the residual branches of 3-D blocks are multiplied by"
    )
    supervised: Literal["coarser", "every"] = Field(
        "coarser",
        description="the heads that `multiscale_weight` is for: of the two `coarser` scales, or of "
        "`every` one of the three, as published, beside the last layers' result",
    )
    multiscale_weight: Weight = Field(
        0.3, description="of the mean absolute error of the volumes that `supervised` heads give"
    )


class Direct64(Family[Direct64Settings, XrayCtSettings]):
    """Front and lateral X-ray (B, 2, S, S) → CT (B, 1, N, N, N), N being `data.ct_size`.

    Volumes are on the [0, 1] scale of `data.hu_window`; `infer` gives Hounsfield units.
    """

    Settings = Direct64Settings
    Data = XrayCtSettings
    metrics: ClassVar[Mapping[str, Direction]] = DIRECTIONS

    def __init__(self, settings: Direct64Settings, data: XrayCtSettings) -> None:
        super().__init__(settings, data)
        self._loss = VolumeLoss(settings)

    def check(self) -> None:
        """Refuse sizes that the network cannot have, and a wrong file of VGG's weights.

        Raises:
            SettingsError: a size or the file is at fault.
        """
        size, xray_size = self.data.ct_size, self.data.xray_size
        if size % SCALES[0] or size < SMALLEST_EDGE:
            raise SettingsError(
                f"found {size}, expected a multiple of {SCALES[0]} from "
                f"{SMALLEST_EDGE} on, as the network makes volumes of a quarter and half of it too",
                key="data.ct_size",
            )
        if xray_size < SMALLEST_XRAY:
            raise SettingsError(
                f"found {xray_size}, expected {SMALLEST_XRAY} or more", key="data.xray_size"
            )
        self._loss.check()

    def dataset(self, split: Split) -> MapDataset:
        """The split's X-rays and volumes.

        Raises:
            DataError: a file is missing, damaged or of none of the layouts.
        """
        return self._training if split == "train" else XrayCtVolumes(self.data, split)

    def build_model(self) -> nn.Module:
        """The network with random weights."""
        settings = self.settings
        return DirectNetwork(
            size=self.data.ct_size,
            width=settings.width,
            volume_width=settings.volume_width,
            lift=settings.lift,
            norm=settings.encoder_norm,
            residual_scale=settings.residual_scale,
            finest_head=settings.supervised == "every",
        )

    def initialize(self, model: nn.Module) -> None:
        """Note the training volumes' voxel size, which the weights take along."""
        model.get_buffer("voxel_size").copy_(usual_voxel_size(self._training))

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms; those of weight 0 are not there."""
        *coarse, result = model(batch["xrays"])
        target = batch["ct"]
        terms = self._loss.terms(result, target, batch["seed"])
        if self.settings.multiscale_weight > 0:
            terms["multiscale"] = self.settings.multiscale_weight * multiscale_error(coarse, target)
        return terms

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Every metric of every sample, each (B,)."""
        return scores(model(batch["xrays"])[-1], batch["ct"], self.data.hu_window)

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """The middle planes of target, result and difference, in HU."""
        return compare_volumes(
            [f"Sample {int(index)}" for index in batch["index"]],
            batch["ct"],
            {"Result": model(batch["xrays"])[-1]},
            hu_window=self.data.hu_window,
        )

    def program(self, model: nn.Module) -> XraysProgram:
        """The network's finest volume, in HU."""
        return Direct64Program(model, self.data)

    def infer(self, model: nn.Module, xrays: Tensor) -> Volume:
        """The volume of two X-rays (2, H, W) in [0, 1], with the training's voxel size."""
        return volume_of(self.program(model), xrays)

    @cached_property
    def _training(self) -> XrayCtVolumes:
        """Opened once, as every file's header is looked at: for the voxel size and to train on."""
        return XrayCtVolumes(self.data, "train")


class Direct64Program(XraysProgram):
    """One pass of the network."""

    def __init__(self, model: nn.Module, data: XrayCtSettings) -> None:
        super().__init__(
            xray_size=data.xray_size,
            ct_size=data.ct_size,
            voxel_size=model.get_buffer("voxel_size"),
            hu_window=data.hu_window,
        )
        self.model = model

    def forward(self, xrays: Tensor) -> tuple[Tensor]:
        """(B, 2, S, S) → (B, N, N, N)."""
        return (self.hounsfield(self.model(xrays)[-1]),)


def multiscale_error(volumes: list[Tensor], target: Tensor) -> Tensor:
    """The mean absolute error per voxel, averaged over scales; a scalar.

    Args:
        volumes: each (B, 1, N / f, N / f, N / f).
        target: (B, 1, N, N, N), averaged to the size of each.
    """
    errors = [
        F.l1_loss(volume.float(), F.avg_pool3d(target, target.shape[-1] // volume.shape[-1]))
        for volume in volumes
    ]
    return torch.stack(errors).mean()
