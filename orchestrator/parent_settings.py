"""The `parent` section: which trained model the trials of a dependent study start from."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator


class ParentSettings(BaseModel):
    """Another study's trial, or a checkpoint; it is looked up once, when the study starts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: str | None = Field(
        None, min_length=1, description="a study beside this one, or the path of a study's folder"
    )
    trial: Literal["best"] | Annotated[StrictInt, Field(ge=0)] = "best"
    checkpoint: str | None = Field(None, min_length=1, description="a .pth file instead")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.study is None) == (self.checkpoint is None):
            raise ValueError("expected `study: NAME` or `checkpoint: FILE`, one of the two")
        if self.checkpoint is not None and self.trial != "best":
            raise ValueError("`trial` belongs to `study`, a checkpoint is of one trial alone")
        return self
