"""What is wrong with settings, in words for the person who wrote them."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.settings.schema import Choices, Range, Settings
from protocol.errors import SettingsError
from protocol.problems import expected

_SECRET = ("storage", "storage.url", "notify", "notify.url")  # what was found may be a secret


def complaints(error: ValidationError, given: Any) -> list[SettingsError]:
    """One complaint a key; where a value may be of several kinds, all of them are named."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        by_key.setdefault(_key(details, given), []).append(details)
    return [SettingsError(_problem(key, found, given), key=key) for key, found in by_key.items()]


def nearest(word: str, known: list[str]) -> str:
    """A hint at the known word that `word` resembles most; nothing where none does."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _key(details: ErrorDetails, given: Any) -> str:
    """The dotted key, without the names of a union's members that pydantic puts in between."""
    location = list(details["loc"])
    if location[0] == "search":
        del location[2:3]
    key: list[str] = []
    for index, part in enumerate(location):
        inside = isinstance(given, dict) and part in given
        if inside or (isinstance(given, list) and isinstance(part, int)):
            given = given[part]
            key.append(str(part))
        elif details["type"] == "missing" and index == len(location) - 1:
            key.append(str(part))
    return ".".join(key)


def _problem(key: str, found: list[ErrorDetails], given: Any) -> str:
    details = found[0]
    if details["type"] == "extra_forbidden":
        *above, word = key.split(".")
        valid = _valid_keys(above, given)
        return f"unknown key{nearest(word, valid)}; expected one of {', '.join(valid)}"
    if details["type"] == "missing":
        return "this key is missing"
    shown = "" if key in _SECRET else f"found {details['input']!r}, "
    if details["type"] == "value_error":
        return shown + details["msg"].removeprefix("Value error, ")
    return f"{shown}expected {' or '.join(dict.fromkeys(map(expected, found)))}"


def _valid_keys(above: list[str], given: Any) -> list[str]:
    """The keys that may stand below the key `above`."""
    model: type[BaseModel] = Settings
    if above[:1] == ["search"]:
        model = Choices if "choices" in given["search"][above[1]] else Range
        return [*model.model_fields, *([] if model is Choices else ["choices"])]
    for part in above:
        annotation = model.model_fields[part].annotation
        kinds = [annotation, *get_args(annotation)]
        model = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
    return sorted(model.model_fields)
