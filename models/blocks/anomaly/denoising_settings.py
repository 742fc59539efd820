"""The recipe keys that the diffusion families share; published values stand in the presets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from models.blocks.anomaly.encoder import SliceEncoderKind, SliceEncoderNorm
from models.blocks.diffusion.noise import NoiseKind
from models.blocks.diffusion.schedule import ScheduleKind
from models.blocks.recipe_keys import Levels, ListedInText
from models.family import FamilySettings

Multipliers = Annotated[tuple[PositiveInt, ...], ListedInText, Field(min_length=1)]


class DenoisingSettings(FamilySettings):
    """U-Net, encoder, noise and loss."""

    width: PositiveInt = Field(128, description="channels of the U-Net at full resolution")
    channel_multipliers: Multipliers = Field(
        (1, 2, 2), description="channels of each level over `width`; a list, or text such as 1-2-2"
    )
    residual_blocks: PositiveInt = Field(3, description="residual blocks of each level")
    attention_levels: Levels = Field(
        (),
        description="levels, 0 being full resolution, with attention after each residual block; "
        "a list, or text such as 1-2. The middle always has it",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="within residual blocks")

    encoder: SliceEncoderKind = Field(
        "resnet50", description="what sums the slice up to guide its reconstruction"
    )
    encoder_norm: SliceEncoderNorm = Field(
        "batch",
        description="of a ResNet encoder: `batch` as published, or `group`, with which training "
        "does not depend on the number of ranks",
    )
    condition_features: PositiveInt = Field(512, description="numbers that the encoder gives")
    encoder_weights_file: Path | None = Field(
        None, description="a .pth, .pt or .safetensors file to start the encoder from"
    )

    schedule: ScheduleKind = Field("cosine", description="how noise grows with the time step")
    steps: int = Field(1000, ge=4, description="time steps T of the schedule")
    noise: NoiseKind = Field("simplex", description="what is added to slices")
    noise_frequency: float = Field(
        64.0, gt=0, allow_inf_nan=False, description="pixels a wave of the first simplex octave"
    )
    noise_octaves: int = Field(6, ge=1, le=16, description="simplex octaves, each twice as fine")
    noise_persistence: float = Field(
        0.8, gt=0, le=1, description="amplitude of a simplex octave over that of the one before"
    )

    noise_std: float = Field(
        1.0,
        gt=0,
        le=4,
        description="standard deviation of simplex noise; cDDPM's and pDDPM's, unnormalised, has "
        "0.59, so that their time step 500 is as noisy as 337 of unit noise",
    )

    prediction: Literal["x0", "epsilon"] = Field(
        "x0", description="what the U-Net predicts: the clean slice or the noise"
    )
    loss: Literal["l1", "mse"] = Field("l1", description="the mean error per pixel: L1 or L2")
    p2_gamma: float = Field(
        0.0, ge=0, le=1, description="weight of a time step: (1 + signal to noise) to the power −γ"
    )

    ensemble: bool = Field(
        False,
        description="reconstruct from a quarter, half and three quarters of the steps, and take "
        "the mean",
    )
    test_timestep: int = Field(
        500,
        ge=0,
        validate_default=True,
        description="without `ensemble`, the time step to reconstruct from, 0 having least noise",
    )

    @field_validator("attention_levels")
    @classmethod
    def _levels_exist(cls, levels: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        count = len(info.data.get("channel_multipliers", levels))
        if any(level >= count for level in levels):
            raise ValueError(f"levels from 0 to {count - 1}, as many as channel_multipliers")
        return levels

    @field_validator("test_timestep")
    @classmethod
    def _step_exists(cls, timestep: int, info: ValidationInfo) -> int:
        steps = info.data.get("steps", timestep + 1)
        if timestep >= steps and not info.data.get("ensemble"):
            raise ValueError(f"a time step below `steps`, which is {steps}")
        return timestep
