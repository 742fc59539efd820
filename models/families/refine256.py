"""A small CT volume to one four times as fine along each axis: direct regression's second stage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from data.xray_ct.coarse import FACTOR, CoarseAndFine, Coarsening
from data.xray_ct.settings import XrayCtSettings
from models.blocks.direct.losses import VolumeLoss, VolumeLossSettings
from models.blocks.direct.parent import Parent, coarse_volumes, load_parent
from models.blocks.direct.refiner import BlockKind, Refiner, trilinear
from models.blocks.images.volume_metrics import psnr
from models.blocks.images.volume_pictures import compare_volumes
from models.blocks.images.volumes import DIRECTIONS, scores, usual_voxel_size, volume_of
from models.blocks.recipe_keys import Weight
from models.family import Batch, Direction, Family, MapDataset, Split, Volume
from models.pictures import Picture
from models.program import XraysProgram
from protocol.errors import SettingsError

COARSE_VERSION = 1  # of what a parent computes: raise it, and kept volumes are made anew


class Refine256Settings(VolumeLossSettings):
    """The recipe keys of `refine256`; published values stand in the preset."""

    source: Literal["parent", "downsampled"] = Field(
        "parent",
        description="the coarse volumes: what the `parent` study's model makes of the X-rays, or "
        "the means of 4³ voxels of the true volumes, for super-resolution alone",
    )
    parent_file: Path | None = Field(
        None, description="the parent's checkpoint; the study's `parent:` section fills it in"
    )
    parent_sha256: str | None = Field(
        None, description="of that file; `parent:` fills it in, and another file is refused"
    )
    width: PositiveInt = Field(
        32, description="channels at the coarse size; half of them after each doubling"
    )
    blocks: PositiveInt = Field(2, description="residual blocks at each of the three sizes")
    block: BlockKind = Field(
        "plain",
        description="`plain`: two convolutions beside the identity; `dense`: ESRGAN's residual in "
        "residual of three dense blocks. 2 of them with `width` 64 make 6.2 million weights, 2 "
        "plain ones with 32 make 0.28",
    )
    residual_scale: float = Field(
        1.0, gt=0, le=1, description="what the residual branches are multiplied by; 0.2 in ESRGAN"
    )
    activation_checkpointing: bool = Field(
        True,
        description="compute features twice rather than keep them: less memory, same gradients",
    )
    ssim_weight: Weight = Field(
        0.0, description="of 1 − SSIM, with a window over three axes, on all voxels"
    )
    loss_slices: Literal["all"] | PositiveInt = Field(
        8,
        description="slices of each orientation that the perceptual term looks at: `all`, or so "
        "many at random places, others in each epoch",
    )


class Refine256(Family[Refine256Settings, XrayCtSettings]):
    """Coarse CT (B, 1, n, n, n) → CT (B, 1, 4n, 4n, 4n), 4n being `data.ct_size`.

    The coarse volume is that of a trained direct64 for the sample's X-rays, computed once and kept
    on disk. The untrained network gives the trilinear volume, which is scored beside the result.
    """

    Settings = Refine256Settings
    Data = XrayCtSettings
    metrics: ClassVar[Mapping[str, Direction]] = {
        **DIRECTIONS,
        "psnr_trilinear": "maximize",  # of the baseline
        "psnr_gain": "maximize",  # dB over the baseline
    }

    def __init__(self, settings: Refine256Settings, data: XrayCtSettings) -> None:
        super().__init__(settings, data)
        self._loss = VolumeLoss(settings)

    def check(self) -> None:
        """Refuse a size that is no multiple, a parent that does not fit, a wrong file of weights.

        Raises:
            SettingsError: one of them is at fault.
        """
        if self.data.ct_size % FACTOR:
            raise SettingsError(
                f"found {self.data.ct_size}, expected a multiple of {FACTOR}", key="data.ct_size"
            )
        if self.settings.source == "parent":
            _check_fits(self._parent, self.data)
        self._loss.check()

    def dataset(self, split: Split) -> MapDataset:
        """The split's coarse and true volumes.

        Raises:
            DataError: a file is missing, damaged or of none of the layouts.
            SettingsError: the parent cannot be read, or does not fit.
        """
        return self._training if split == "train" else self._pairs(split)

    def build_model(self) -> nn.Module:
        """The network, which gives the trilinear volume as yet."""
        settings = self.settings
        return Refiner(
            width=settings.width,
            blocks=settings.blocks,
            residual_scale=settings.residual_scale,
            checkpointing=settings.activation_checkpointing,
            kind=settings.block,
        )

    def initialize(self, model: nn.Module) -> None:
        """Note the training volumes' voxel size, which the weights take along."""
        model.get_buffer("voxel_size").copy_(usual_voxel_size(self._training))

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms; those of weight 0 are not there."""
        return self._loss.terms(model(batch["coarse"]), batch["ct"], batch["seed"])

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Every metric of every sample, each (B,)."""
        coarse, target = batch["coarse"], batch["ct"]
        found = scores(model(coarse), target, self.data.hu_window)
        baseline = psnr(trilinear(coarse), target)
        return found | {"psnr_trilinear": baseline, "psnr_gain": found["psnr"] - baseline}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """The middle planes of target, baseline, result and difference, in HU."""
        coarse = batch["coarse"]
        return compare_volumes(
            [f"Sample {int(index)}" for index in batch["index"]],
            batch["ct"],
            {"Trilinear": trilinear(coarse), "Result": model(coarse)},
            hu_window=self.data.hu_window,
        )

    def program(self, model: nn.Module) -> XraysProgram:
        """The parent's volume, refined, in HU.

        Raises:
            SettingsError: this trial has no parent, or its file cannot be read or has changed.
        """
        if self.settings.source != "parent":
            raise SettingsError(
                "this trial refines downsampled volumes, so it makes none of X-rays; "
                "expected a trial of a study with a `parent:`",
                key="recipe.source",
            )
        return Refine256Program(model, self._parent, self.data)

    def infer(self, model: nn.Module, xrays: Tensor) -> Volume:
        """The volume of two X-rays (2, H, W) in [0, 1]: the parent's, refined.

        Raises:
            SettingsError: as from `program`.
        """
        return volume_of(self.program(model), xrays)

    @cached_property
    def _training(self) -> CoarseAndFine:
        """Opened once, as every file's header is looked at: for the voxel size and to train on."""
        return self._pairs("train")

    def _pairs(self, split: Split) -> CoarseAndFine:
        if self.settings.source == "downsampled":
            return CoarseAndFine(self.data, split, None)
        parent = self._parent
        _check_fits(parent, self.data)
        method = {"kind": "direct64", "version": COARSE_VERSION, "sha256": parent.sha256}
        return CoarseAndFine(self.data, split, Coarsening(compute=parent.compute, method=method))

    @cached_property
    def _parent(self) -> Parent:
        return load_parent(self.settings.parent_file, self.settings.parent_sha256)


class Refine256Program(XraysProgram):
    """Two networks, one after the other."""

    def __init__(self, model: nn.Module, parent: Parent, data: XrayCtSettings) -> None:
        voxel_size = model.get_buffer("voxel_size")
        super().__init__(
            xray_size=parent.data.xray_size,
            ct_size=FACTOR * parent.data.ct_size,
            voxel_size=voxel_size,
            hu_window=data.hu_window,
        )
        self.model, self.parent = model, parent.model.to(voxel_size.device)

    def forward(self, xrays: Tensor) -> tuple[Tensor]:
        """(B, 2, S, S) → (B, 4n, 4n, 4n)."""
        return (self.hounsfield(self.model(coarse_volumes(self.parent, xrays))),)


def _check_fits(parent: Parent, data: XrayCtSettings) -> None:
    """Refuse data that the parent's volumes do not belong to."""
    expected = {
        "ct_size": FACTOR * parent.data.ct_size,
        "xray_size": parent.data.xray_size,
        "hu_window": parent.data.hu_window,
    }
    for key, value in expected.items():
        found = getattr(data, key)
        if found != value:
            raise SettingsError(
                f"found {found}, expected {value}, as the parent {parent.path} was "
                f"trained with {key} {getattr(parent.data, key)}; set it, or take another parent",
                key=f"data.{key}",
            )
