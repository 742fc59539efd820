"""The recipe of a trial: how it trains.

It is one flat mapping: the keys that every family shares and the family's own, so that each of
them can be fixed under `recipe:` or searched under `search:` by the same name. What else must be
known of a key than its type and range stands at its field, as a `Trait`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from protocol.problems import validated
from protocol.script import SCRIPT

# The keys of a family's own settings that take a parent.
FILE_KEY, SHA256_KEY = "parent_file", "parent_sha256"


class Trait(StrEnum):
    """What is true of a key, for those who should not know it by its name."""

    WEIGHTLESS = "weightless"  # takes no memory, whatever its value
    FREE = "free"  # leaves trials comparable: it may change while a study goes on


WEIGHTLESS, FREE = Trait.WEIGHTLESS, Trait.FREE


def keys_with(trait: Trait, model: type[BaseModel]) -> frozenset[str]:
    """The keys of `model` that have `trait`."""
    fields = model.model_fields.items()
    return frozenset(name for name, field in fields if trait in field.metadata)


def names_a_path(key: str) -> bool:
    """Whether the value of a `data` or `recipe` key is a path, by the key's name.

    Relative paths are resolved beside the file that holds them, before the family that knows its
    keys is imported: so the name has to say it.
    """
    return re.fullmatch(r"root|\w+_file|\w+_folder", key) is not None


class TrainingRecipe(BaseModel):
    """How a model is trained, whatever the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Annotated[int, WEIGHTLESS] = Field(
        30, ge=1, description="passes over the training split"
    )
    batch_size: int = Field(4, ge=1, description="samples of one rank in one forward pass")
    accumulation: int = Field(1, ge=1, description="forward passes for one optimiser step")

    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="torch's")
    learning_rate: Annotated[float, WEIGHTLESS] = Field(
        1e-3, gt=0, description="of the optimiser, before the scheduler lowers it"
    )
    weight_decay: Annotated[float, WEIGHTLESS] = Field(
        0.0, ge=0, description="decoupled from the gradient with adamw alone"
    )
    betas: Annotated[tuple[float, float], WEIGHTLESS] = Field(
        (0.9, 0.999), description="of adam and adamw"
    )
    epsilon: Annotated[float, WEIGHTLESS] = Field(1e-8, gt=0, description="of adam and adamw")
    momentum: Annotated[float, WEIGHTLESS] = Field(0.9, ge=0, lt=1, description="of sgd")

    scheduler: Annotated[Literal["none", "plateau", "cosine", "step"], WEIGHTLESS] = Field(
        "none", description="how the learning rate falls; `plateau` watches a validation metric"
    )
    warmup_steps: Annotated[int, WEIGHTLESS] = Field(
        0, ge=0, description="optimiser steps of linear warm-up"
    )
    plateau_factor: Annotated[float, WEIGHTLESS] = Field(
        0.5, gt=0, lt=1, description="what `plateau` multiplies the learning rate by"
    )
    plateau_patience: Annotated[int, WEIGHTLESS] = Field(
        1, ge=0, description="epochs without a better one that `plateau` lets pass"
    )
    plateau_metric: Annotated[str | None, WEIGHTLESS] = Field(
        None,
        description="the validation metric that `plateau` watches, such as `mse`; null watches "
        "the objective",
    )
    step_epochs: Annotated[int, WEIGHTLESS] = Field(
        10, ge=1, description="epochs between the `step` scheduler's drops"
    )
    step_factor: Annotated[float, WEIGHTLESS] = Field(
        0.1, gt=0, lt=1, description="what `step` multiplies the learning rate by"
    )
    minimum_learning_rate: Annotated[float, WEIGHTLESS] = Field(
        0.0, ge=0, description="floor of plateau and cosine"
    )

    clip_norm: Annotated[float | None, WEIGHTLESS] = Field(
        None, gt=0, description="largest gradient norm"
    )
    clip_dynamic: Annotated[float | None, WEIGHTLESS] = Field(
        None,
        gt=1,
        description="clip at so many times the exponential moving average (decay 0.99) of the "
        "gradient norms as applied, never above clip_norm, which alone holds for 20 steps",
    )
    precision: Literal["off", "bf16", "fp16"] = Field("off", description="mixed precision")
    early_stopping: Annotated[int | None, WEIGHTLESS] = Field(
        None, ge=1, description="epochs without a better objective before the trial ends"
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="validate and keep an exponential moving average"
    )
    loader_workers: Annotated[int, WEIGHTLESS, FREE] = Field(
        0, ge=0, description="data loading processes of one rank"
    )

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


@dataclass(frozen=True)
class Recipe:
    """One trial's recipe, merged of settings and search, its shared keys validated.

    The family's own keys are validated where the family is: in the training half.
    """

    given: Mapping[str, Any]  # every key that is not left at its default, flat
    training: TrainingRecipe
    scripted: bool = False  # all keys are a script's own, which alone knows what they mean

    @classmethod
    def of(cls, given: Mapping[str, Any], *, scripted: bool = False) -> Recipe:
        """The recipe of a flat mapping.

        Args:
            given: every key that is not left at its default.
            scripted: whether the keys are a script's.

        Raises:
            SettingsError: a shared key's value is wrong; carries the key, as `recipe.epochs`.
        """
        if scripted:
            return cls(dict(given), TrainingRecipe(), scripted=True)
        shared = {key: given[key] for key in given.keys() & TrainingRecipe.model_fields.keys()}
        return cls(dict(given), validated(TrainingRecipe, shared, "recipe"))

    @property
    def epochs(self) -> int | None:
        """How many epochs a trial has; None where only its script knows."""
        if not self.scripted:
            return self.training.epochs
        said = self.given.get("epochs")
        return said if isinstance(said, int) and not isinstance(said, bool) else None

    @property
    def own(self) -> dict[str, Any]:
        """The family's own keys."""
        return own_keys(self.given)


def is_whole(key: str) -> bool:
    """Whether a shared key's values are whole numbers."""
    field = TrainingRecipe.model_fields.get(key)
    return field is not None and field.annotation in (int, int | None)


def takes_fractions(model: type[BaseModel], key: str) -> bool:
    """Whether a field's values are numbers of any kind, not whole ones alone."""
    field = model.model_fields.get(key)
    return field is not None and _mentions(field.annotation, float)


def _mentions(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_mentions(part, kind) for part in get_args(annotation))


def own_keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """A flat recipe's keys that are not every family's."""
    shared = TrainingRecipe.model_fields
    return {key: value for key, value in given.items() if key not in shared}


def _recipe_of(value: Any, message: ValidationInfo) -> Recipe:
    if isinstance(value, Recipe):
        return value
    return Recipe.of(value, scripted=message.data.get("family") == SCRIPT)


# As a field of a message: in JSON the flat mapping.
FlatRecipe = Annotated[
    Recipe, PlainValidator(_recipe_of), PlainSerializer(lambda recipe: dict(recipe.given))
]
