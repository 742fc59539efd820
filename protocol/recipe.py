"""The training recipe that every family shares. Part of the floor.

A trial's recipe is one flat mapping: these keys and the family's own, so that every one of them
can be fixed under `recipe:` or searched under `search:` by the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

if TYPE_CHECKING:
    pass


class TrainingRecipe(BaseModel):
    """How a model is trained, whatever the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(30, ge=1, description="passes over the training split")
    batch_size: int = Field(4, ge=1, description="samples of one rank in one forward pass")
    accumulation: int = Field(1, ge=1, description="forward passes for one optimiser step")

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = Field((0.9, 0.999), description="of adam and adamw")
    epsilon: float = Field(1e-8, gt=0, description="of adam and adamw")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")

    scheduler: Literal["none", "plateau", "cosine", "step"] = "none"
    warmup_steps: int = Field(0, ge=0, description="optimiser steps of linear warm-up")
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    plateau_patience: int = Field(1, ge=0, description="epochs")
    step_epochs: int = Field(10, ge=1, description="epochs between the `step` scheduler's drops")
    step_factor: float = Field(0.1, gt=0, lt=1)
    minimum_learning_rate: float = Field(0.0, ge=0, description="floor of plateau and cosine")

    clip_norm: float | None = Field(None, gt=0, description="largest gradient norm")
    clip_dynamic: float | None = Field(
        None,
        gt=1,
        description="clip at so many times the exponential moving average (decay 0.99) of the "
        "gradient norms as applied, never above clip_norm, which alone holds for 20 steps",
    )
    precision: Literal["off", "bf16", "fp16"] = Field("off", description="mixed precision")
    early_stopping: int | None = Field(
        None, ge=1, description="epochs without a better objective before the trial ends"
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="validate and keep an exponential moving average"
    )
    loader_workers: int = Field(0, ge=0, description="data loading processes of one rank")

    @field_validator("clip_dynamic")
    @classmethod
    def _beside_clip_norm(cls, value: float | None, info: ValidationInfo) -> float | None:
        # `clip_norm` is missing among the data where it is wrong itself.
        if value is not None and info.data.get("clip_norm", 1.0) is None:
            raise ValueError(
                "expected null, or a number beside `clip_norm`, which clips the first steps and "
                "is the threshold's upper end, but `clip_norm` is null; set both, or neither"
            )
        return value


def split_recipe(recipe: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`recipe` as (the training keys, the family's keys)."""
    common = TrainingRecipe.model_fields
    training = {key: value for key, value in recipe.items() if key in common}
    return training, {key: value for key, value in recipe.items() if key not in common}


# The keys of a family's own settings that take a parent.
FILE_KEY, SHA256_KEY = "parent_file", "parent_sha256"
