"""What is wrong with settings, in words for the person who wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.errors import SettingsError
from orchestrator.expectations import expected

M = TypeVar("M", bound=BaseModel)


def problems(
    model: type[BaseModel], values: Mapping[str, Any], prefix: str
) -> list[dict[str, Any]]:
    """Every problem of `values` as {"key", "problem"}, and "valid_keys" for an unknown key."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        return [_problem(model, details, prefix) for details in error.errors(include_url=False)]
    return []


def validated(model: type[M], values: Mapping[str, Any], prefix: str) -> M:
    """The settings object of `values`.

    Raises:
        SettingsError: with the first problem.
    """
    found = problems(model, values, prefix)
    if found:
        raise SettingsError(f"{found[0]['key']}: {found[0]['problem']}")
    return model.model_validate(dict(values))


def _problem(model: type[BaseModel], details: ErrorDetails, prefix: str) -> dict[str, Any]:
    key = ".".join([prefix, *(str(part) for part in details["loc"])])
    if details["type"] == "extra_forbidden":
        valid = list(model.model_fields) if len(details["loc"]) == 1 else []
        return {"key": key, "problem": "there is no such key", "valid_keys": valid}
    if details["type"] == "missing":
        return {"key": key, "problem": "is missing"}
    return {"key": key, "problem": f"found {details['input']!r}, expected {expected(details)}"}
