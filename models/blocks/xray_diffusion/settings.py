"""The recipe keys of `diffx2ct`; published values stand in the preset."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveInt, ValidationInfo, field_validator, model_validator

from models.blocks.diffusion.scale import IntensityRange
from models.blocks.diffusion.schedule import ScheduleKind
from models.blocks.recipe_keys import Levels, Weight
from models.blocks.xray_diffusion.blending import BlendKind
from models.blocks.xray_diffusion.losses import FourierNorm
from models.blocks.xray_diffusion.network.encoder import EncoderKind, EncoderNorm
from models.blocks.xray_diffusion.network.output import OutputKind
from models.blocks.xray_diffusion.sampler import SamplerKind
from models.family import FamilySettings


class Diffx2ctSettings(FamilySettings):
    """Encoder, U-Net, noise, loss and sampling."""

    patch_size: PositiveInt = Field(
        128, description="voxels of the edge of what the U-Net sees at once, in training and after"
    )
    encoder: EncoderKind = Field("resnet18", description="what the X-rays go through")
    encoder_norm: EncoderNorm = Field(
        "group",
        description="in place of the encoder's batch normalisation: `group`, or `frozen` means "
        "and variances from `encoder_weights_file`",
    )
    encoder_weights_file: Path | None = Field(
        None, description="a .pth, .pt or .safetensors file to start the encoder from"
    )
    token_features: int = Field(
        256, ge=4, multiple_of=4, description="numbers by which a place of an X-ray is described"
    )

    width: PositiveInt = Field(
        32,
        description="channels at full resolution; each level has twice as many: 32 is the "
        "published model, 48 the medium and 64 the large one",
    )
    levels: int = Field(4, ge=1, le=6, description="resolutions on the way down")
    residual_blocks: PositiveInt = Field(2, description="residual blocks of each level")
    attention_levels: Levels = Field(
        (1, 2, 3),
        description="levels, 0 being full resolution, whose voxels look at the X-rays; a list, or "
        "text such as 1-2-3. The middle always does",
    )
    attention_heads: PositiveInt = Field(8, description="heads of the attention")
    head_channels: PositiveInt = Field(64, description="channels of each head")
    activation_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time"
    )

    schedule: ScheduleKind = Field("linear", description="how noise grows with the time step")
    steps: int = Field(1000, ge=4, description="time steps T of the schedule")

    volume_range: IntensityRange = Field(
        "symmetric",
        description="intensities that noise is added to: [−1, 1], or as published `unit`, [0, 1], "
        "whose signal is 6 dB weaker beside the same noise",
    )

    output: OutputKind = Field(
        "epsilon",
        description="what the U-Net gives and the loss compares: the noise ε, as published, or the "
        "velocity v = √ᾱ·ε − √(1 − ᾱ)·x0, which weighs noisy steps more; the metrics are of ε "
        "either way",
    )

    mse_until: int = Field(
        10, ge=0, description="the last epoch trained by the squared error of the output"
    )
    l1_until: int = Field(
        20,
        ge=0,
        validate_default=True,
        description="the last epoch trained by its absolute error; after it, by the sum of "
        "that, the SSIM's and the spectrum's, by the next three weights, which may be in any unit",
    )
    l1_weight: Weight = Field(0.5, description="of the output's absolute error")
    ssim_weight: Weight = Field(0.5, description="of 1 − SSIM of the patch without the noise")
    fft_weight: Weight = Field(0.1, description="of the error of the output's Fourier magnitudes")

    fft_norm: FourierNorm = Field(
        "ortho",
        description="of the Fourier transform: `ortho`normal, or `none` as published, with which "
        "`fft_weight` is √patch_size³ times as strong: 1448 at 128",
    )

    validation_patches: PositiveInt = Field(2, description="patches of each volume held out")
    validation_timesteps: PositiveInt = Field(
        4, description="noise levels at which each of them is judged, spread over all there are"
    )

    sampler: SamplerKind = Field(
        "dpm_solver", description="how a volume is made from noise: DPM-Solver++ or DDPM"
    )
    sampling_steps: int = Field(
        50, ge=2, validate_default=True, description="time steps of the sampler"
    )
    blend: BlendKind = Field("cosine", description="how overlapping windows are blended")
    overlap: float = Field(0.5, ge=0, lt=1, description="share of a window that the next covers")
    windows_at_once: PositiveInt = Field(1, description="windows that the U-Net samples at once")

    @field_validator("levels")
    @classmethod
    def _patch_divides(cls, levels: int, info: ValidationInfo) -> int:
        patch = info.data.get("patch_size", 2**levels)
        if patch % 2**levels:
            raise ValueError(
                f"levels that halve patch_size, which is {patch}, evenly; take a patch_size that "
                f"is a multiple of {2**levels}, or fewer levels"
            )
        return levels

    @field_validator("attention_levels")
    @classmethod
    def _levels_exist(cls, chosen: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        count = info.data.get("levels", 6)
        if any(level >= count for level in chosen):
            raise ValueError(f"levels from 0 to {count - 1}, as many as `levels`")
        return chosen

    @field_validator("l1_until")
    @classmethod
    def _phases_in_order(cls, epoch: int, info: ValidationInfo) -> int:
        first = info.data.get("mse_until", epoch)
        if epoch < first:
            raise ValueError(f"an epoch not before mse_until, which is {first}")
        return epoch

    @field_validator("sampling_steps")
    @classmethod
    def _steps_exist(cls, count: int, info: ValidationInfo) -> int:
        steps = info.data.get("steps", count)
        if count > steps:
            raise ValueError(f"at most `steps`, which is {steps}")
        return count

    @model_validator(mode="after")
    def _weights_fit(self) -> Diffx2ctSettings:
        if self.l1_weight + self.ssim_weight + self.fft_weight == 0:
            raise ValueError("found l1_weight, ssim_weight and fft_weight 0, expected one above 0")
        if self.encoder_norm == "frozen" and self.encoder_weights_file is None:
            raise ValueError(
                "found encoder_norm frozen without encoder_weights_file, expected the file that "
                "the means and variances come from; give it, or take encoder_norm group"
            )
        return self
