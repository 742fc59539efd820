"""Writes studies/schema.json, by which editors complete and check presets and config.yml.

    .venv/bin/python -m scripts.settings_schema

It says what single keys may hold, of every family of the project's own; what only several keys
together say wrongly is said by the program alone. A test holds the file to the settings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from models.registry import load_family
from orchestrator.settings.schema import Settings
from protocol.recipe import TrainingRecipe

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "studies" / "schema.json"

Json = dict[str, Any]


def schema() -> Json:
    """The schema of a file that gives some of the settings, and leaves others to other files."""
    names = sorted(file.stem for file in (ROOT / "models" / "families").glob("[!_]*.py"))
    of_families = {name: load_family(name) for name in names}
    models: list[type[BaseModel]] = [Settings, TrainingRecipe]
    for family in of_families.values():
        models += [family.Settings, family.Data]
    kinds = [(model, "validation") for model in dict.fromkeys(models)]
    places, whole = models_json_schema(kinds)  # type: ignore[arg-type]
    definitions: Json = whole["$defs"]

    def keys(model: type[BaseModel]) -> Json:
        place: str = places[model, "validation"]["$ref"]
        found: Json = definitions[place.rpartition("/")[2]]["properties"]
        return found

    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of a tomostudy study",
        "type": "object",
        "properties": keys(Settings),
        "additionalProperties": False,
        "allOf": [
            _of_family(name, keys(TrainingRecipe) | keys(family.Settings), keys(family.Data))
            for name, family in of_families.items()
        ],
        "$defs": definitions,
    }
    without_required: Json = _without_required(found)
    return without_required


def _of_family(name: str, recipe: Json, data: Json) -> Json:
    """What holds where the file names a family."""
    return {
        "if": {"properties": {"family": {"const": name}}, "required": ["family"]},
        "then": {
            "properties": {
                "recipe": {"properties": recipe, "additionalProperties": False},
                "data": {"properties": data, "additionalProperties": False},
                "search": {"propertyNames": {"enum": list(recipe)}},
            }
        },
    }


def _without_required(part: Any) -> Any:
    """Another file may have what one lacks; only `if` asks whether a key is there."""
    if isinstance(part, list):
        return [_without_required(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: value if key == "if" else _without_required(value)
        for key, value in part.items()
        if key != "required" or not isinstance(value, list)
    }


def text() -> str:
    """What the file holds."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
