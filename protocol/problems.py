"""What is wrong with settings, in words for the person who wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from protocol.errors import SettingsError

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "too_short": "a list of {min_length} or more",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "literal_error": "{expected}",
    "enum": "{expected}",
}

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
        raise SettingsError(found[0]["problem"], key=found[0]["key"])
    return model.model_validate(dict(values))


def _problem(model: type[BaseModel], details: ErrorDetails, prefix: str) -> dict[str, Any]:
    key = ".".join([prefix, *(str(part) for part in details["loc"])])
    if details["type"] == "extra_forbidden":
        valid = list(model.model_fields) if len(details["loc"]) == 1 else []
        return {"key": key, "problem": "there is no such key", "valid_keys": valid}
    if details["type"] == "missing":
        return {"key": key, "problem": "is missing"}
    return {"key": key, "problem": f"found {details['input']!r}, expected {expected(details)}"}


def expected(details: ErrorDetails) -> str:
    """What pydantic expected where it found an error."""
    known = _EXPECTED.get(details["type"])
    if known is None:
        message = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        return message[:1].lower() + message[1:]
    return known.format(**details.get("ctx", {}))
