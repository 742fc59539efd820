"""Kinds of values that recipe keys of several families take."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeInt


def _from_text(value: Any) -> Any:
    """ "1-2-2" as [1, 2, 2]: choices of a search are single words."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split("-")] if value.strip() else []


ListedInText = BeforeValidator(_from_text)  # numbers as a list, or as text such as 1-2-2
Levels = Annotated[tuple[NonNegativeInt, ...], ListedInText]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of a term of the loss
