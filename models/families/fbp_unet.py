"""FBP with a fixed filter, then a U-Net that takes noise and streaks out of it; only it trains."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from data.geometry import ParallelGeometry
from data.lodopab.dataset import LodopabDataset
from data.lodopab.layout import is_upright
from data.lodopab.reconstructions import ReconstructedDataset, ReconstructionSettings
from models.blocks.fbp.fbp import FixedWindowFbp
from models.blocks.fbp.window import InitialWindow
from models.blocks.images import metrics
from models.blocks.images.comparison import compare
from models.blocks.images.image_loss import l1_ms_ssim
from models.blocks.images.unet import Head, Norm, pooled_unet, published_unet, small_unet
from models.blocks.parent import Trained, load_trained
from models.family import Batch, Direction, Family, FamilySettings, MapDataset, Split
from models.pictures import Picture
from models.program import SinogramProgram

FBP_VERSION = 1  # of what `fixed_window_fbp` computes: raise it, and kept results are made anew
WINDOW_FAMILY = "fbp_window"


class FbpUnetSettings(FamilySettings):
    """The recipe keys of `fbp_unet`; published values stand in the preset."""

    architecture: Literal["published", "small", "custom"] = Field(
        "published",
        description="`published` has 30 928 129 parameters, `small` 610 673; `custom` is the "
        "published form with the four keys below",
    )
    base_width: int = Field(
        32, ge=1, le=256, description="channels at full resolution; each level has twice as many"
    )
    depth: int = Field(5, ge=2, le=7, description="levels, the one of full resolution included")
    skip: PositiveInt | Literal["full"] = Field(
        "full", description="channels that a level hands to its decoder"
    )
    norm: Norm = Field("none", description="normalisation after each convolution")
    head: Head = Field(
        "sigmoid",
        description="the result is a `sigmoid`, in (0, 1); `linear`; or `residual`, added to the "
        "FBP; for every architecture",
    )
    window: InitialWindow | Literal["parent"] = Field(
        "hann",
        description="the FBP's window: `ones` is the ramp alone, as published; `parent` the one "
        "that the fbp_window trial of the study's `parent:` has learned",
    )
    frequency_scaling: float = Field(
        1.0,
        gt=0,
        le=1,
        description="a fixed window's cut-off as a fraction of the Nyquist frequency",
    )
    parent_file: Path | None = Field(
        None, description="the parent's checkpoint; the study's `parent:` section fills it in"
    )
    parent_sha256: str | None = Field(
        None, description="of that file; `parent:` fills it in, and another file is refused"
    )
    loss: Literal["mse", "l1", "l1_ms_ssim"] = Field(
        "mse", description="the mean error per pixel, or 0.16·L1 + 0.84·(1 − MS-SSIM)"
    )


class FbpUnet(Family[FbpUnetSettings, ReconstructionSettings]):
    """Sinogram (B, 1, A, D) → fixed FBP, kept on disk (B, 1, N, N) → U-Net → (B, 1, N, N).

    Source: Jin et al., "Deep convolutional neural network for inverse problems in imaging",
    IEEE TIP 26 (2017).
    """

    Settings = FbpUnetSettings
    Data = ReconstructionSettings
    metrics: ClassVar[Mapping[str, Direction]] = {
        **metrics.DIRECTIONS,
        "psnr_gain": "maximize",  # dB over the FBP that the network was given
    }

    def check(self) -> None:
        """Refuse a window of a parent that there is not, or that is of another scan.

        Raises:
            SettingsError: it cannot be had.
        """
        if self.settings.window == "parent":
            _ = self._parent

    def dataset(self, split: Split) -> MapDataset:
        """The split's reconstructions and images.

        Raises:
            DataError: a file is missing, truncated or not of LoDoPaB-CT's layout.
            SettingsError: the window is to be a parent's, which cannot be had.
        """
        method = {"kind": "fbp", "version": FBP_VERSION, "window": self.settings.window}
        if self.settings.window == "parent":
            method["parent"] = self._parent.sha256
        else:
            method["frequency_scaling"] = self.settings.frequency_scaling
        return ReconstructedDataset(self.data, split, self._reconstruct, method)

    def build_model(self) -> nn.Module:
        """The U-Net with random weights."""
        settings = self.settings
        if settings.architecture == "published":
            return published_unet(head=settings.head)
        if settings.architecture == "small":
            return small_unet(head=settings.head)
        channels = tuple(settings.base_width * 2**level for level in range(settings.depth))
        return pooled_unet(channels, skip=settings.skip, norm=settings.norm, head=settings.head)

    def program(self, model: nn.Module) -> SinogramProgram:
        """The FBP that the network was trained on, and the network.

        Raises:
            SettingsError: the window is a parent's, which cannot be had.
        """
        geometry = LodopabDataset(self.data, "train").geometry
        return FbpUnetProgram(self._fbp(geometry), model, geometry)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The mean error per pixel, or the two terms of the mixed loss."""
        result, target = model(batch["fbp"]).float(), batch["image"]
        if self.settings.loss == "mse":
            return {"mse": F.mse_loss(result, target)}
        if self.settings.loss == "l1":
            return {"l1": F.l1_loss(result, target)}
        return l1_ms_ssim(result, target)

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Every metric of every sample, each (B,)."""
        result, target = model(batch["fbp"]), batch["image"]
        found = metrics.scores(result, target)
        return found | {"psnr_gain": found["psnr"] - metrics.psnr(batch["fbp"], target)}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """Target, FBP, result and difference of each sample, in the target's window."""
        window, scaling = self.settings.window, self.settings.frequency_scaling
        filtered = "learned window" if window == "parent" else f"{window}, {scaling:.2g}"
        name = f"Input FBP ({filtered})"
        given, upright = (name, batch["fbp"]), is_upright(self.data.root)
        result = model(batch["fbp"])
        return compare(batch["index"], batch["image"], given, result, upright=upright)

    def _reconstruct(
        self, sinograms: NDArray[np.float32], geometry: ParallelGeometry
    ) -> NDArray[np.float32]:
        """(B, 1, A, D) → (B, 1, N, N)."""
        with torch.no_grad():
            images = self._fbp(geometry)(torch.from_numpy(sinograms))
        array: NDArray[np.float32] = images.numpy()
        return array

    def _fbp(self, geometry: ParallelGeometry) -> nn.Module:
        """What makes the images that the network is given, on the CPU."""
        window = self.settings.window
        if window == "parent":
            return self._parent.model
        return FixedWindowFbp(geometry, window, self.settings.frequency_scaling)

    @cached_property
    def _parent(self) -> Trained:
        """The trained window, on this study's scans."""
        settings = self.settings
        otherwise = "choose another `window`"
        return load_trained(
            settings.parent_file,
            settings.parent_sha256,
            WINDOW_FAMILY,
            otherwise=otherwise,
            data=self.data,
        )


class FbpUnetProgram(SinogramProgram):
    """The operator, then the network."""

    def __init__(self, fbp: nn.Module, model: nn.Module, geometry: ParallelGeometry) -> None:
        super().__init__(geometry)
        device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        self.fbp, self.model = fbp.to(device), model

    def forward(self, sinogram: Tensor) -> tuple[Tensor]:
        """(B, 1, A, D) → (B, 1, N, N)."""
        return (self.model(self.fbp(sinogram)).float(),)
