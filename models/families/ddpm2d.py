"""cDDPM: healthy brain slices from noised ones, guided by a vector that sums the slice up."""

from __future__ import annotations

from models.blocks.anomaly.denoising import DenoisingFamily
from models.blocks.anomaly.denoising_settings import DenoisingSettings


class Ddpm2dSettings(DenoisingSettings):
    """The recipe keys of `ddpm2d`; published values stand in the preset."""


class Ddpm2d(DenoisingFamily[Ddpm2dSettings]):
    """Brain slice (B, 1, H, W) → its healthy reconstruction (B, 1, H, W), both in [0, 1].

    Source: Behrendt et al., "Guided reconstruction with conditioned diffusion models for
    unsupervised anomaly detection in brain MRIs" (2023). At full size the U-Net with its
    condition has 44 068 481 parameters and the ResNet50 encoder 24 550 848 more.
    """

    Settings = Ddpm2dSettings
