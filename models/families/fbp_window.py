"""FBP whose frequency window is learned; everything else of the reconstruction is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from data.geometry import ParallelGeometry
from data.lodopab.dataset import LodopabDataset, LodopabSettings
from data.lodopab.layout import is_upright
from models.blocks.fbp.fbp import FilteredBackprojection, fixed_window_fbp
from models.blocks.fbp.window import InitialWindow, WindowKind, make_window
from models.blocks.images import metrics
from models.blocks.images.comparison import compare
from models.family import Batch, Direction, Family, FamilySettings, MapDataset, Split
from models.pictures import Picture
from models.program import SinogramProgram


class FbpWindowSettings(FamilySettings):
    """The recipe keys of `fbp_window`; published values stand in the preset."""

    window: WindowKind = Field(
        "full",
        description="what is learned: `full` one weight for each angle and frequency, "
        "`per_frequency` one for each frequency, `fourier` a trainable Fourier series",
    )
    harmonics: int = Field(
        50, ge=1, description="harmonics L of the `fourier` window, which has 2L + 1 parameters"
    )
    initial_window: InitialWindow = Field(
        "ones", description="the window that training starts from; `ones` is the ramp alone"
    )
    frequency_scaling: float = Field(
        1.0,
        gt=0,
        le=1,
        description="the initial window's cut-off as a fraction of the Nyquist frequency",
    )
    loss: Literal["mse", "l1"] = Field("mse", description="the mean error per pixel: L2 or L1")


class FbpWindow(Family[FbpWindowSettings, LodopabSettings]):
    """Sinogram (B, 1, A, D) → image (B, 1, N, N) by FBP with a learned window."""

    Settings = FbpWindowSettings
    Data = LodopabSettings
    metrics: ClassVar[Mapping[str, Direction]] = metrics.DIRECTIONS

    @cached_property
    def geometry(self) -> ParallelGeometry:
        """The scan that the training split's sinograms come from."""
        return LodopabDataset(self.data, "train").geometry

    def dataset(self, split: Split) -> MapDataset:
        """The split's sinograms and images.

        Raises:
            DataError: a file is missing, truncated or not of LoDoPaB-CT's layout.
        """
        return LodopabDataset(self.data, split)

    def build_model(self) -> nn.Module:
        """FBP with the initial window; nothing in it is random.

        Raises:
            DataError: the training split, which gives the scan's geometry, cannot be read.
            SettingsError: the series has more harmonics than the detector has frequencies.
        """
        window = make_window(
            self.settings.window,
            self.geometry,
            harmonics=self.settings.harmonics,
            initial=self.settings.initial_window,
            frequency_scaling=self.settings.frequency_scaling,
        )
        return FilteredBackprojection(self.geometry, window)

    def program(self, model: nn.Module) -> SinogramProgram:
        """FBP with the learned window."""
        return FbpProgram(model, self.geometry)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The mean error per pixel, named after the loss."""
        result = model(batch["sinogram"])
        error = F.mse_loss if self.settings.loss == "mse" else F.l1_loss
        return {self.settings.loss: error(result, batch["image"])}

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Every metric of every sample, each (B,)."""
        return metrics.scores(model(batch["sinogram"]), batch["image"])

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """Target, Ram-Lak FBP, result and difference of each sample, in the target's window."""
        sinogram, target = batch["sinogram"], batch["image"]
        result = model(sinogram)
        ram_lak = fixed_window_fbp(sinogram, self.geometry)
        given = ("Input FBP (Ram-Lak)", ram_lak)
        upright = is_upright(self.data.root)
        return compare(batch["index"], target, given, result, upright=upright)


class FbpProgram(SinogramProgram):
    """One operator."""

    def __init__(self, model: nn.Module, geometry: ParallelGeometry) -> None:
        super().__init__(geometry)
        self.model = model

    def forward(self, sinogram: Tensor) -> tuple[Tensor]:
        """(B, 1, A, D) → (B, 1, N, N)."""
        return (self.model(sinogram),)
