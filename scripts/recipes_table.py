"""Writes the tables of docs/families.md: the published recipes, ours, equal or why not.

python -m scripts.recipes_table
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.registry import load_family
from orchestrator.settings.layers import Asked, load_settings
from orchestrator.settings.schema import Settings
from orchestrator.settings.yaml import read_mapping
from protocol.recipe import TrainingRecipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "families.md"
BEGIN, END = "<!-- recipes: begin -->", "<!-- recipes: end -->"
PUBLISHED = read_mapping(Path(__file__).with_name("published.yml"))


def enqueued_point(settings: Settings, number: int = 1) -> dict[str, Any]:
    """Every value of a preset's first trial, or of a later one, by dotted key; lists for tuples."""
    family = load_family(settings.family)
    recipe = {**settings.recipe, **(settings.enqueue[number - 1] if settings.enqueue else {})}
    own = {key: recipe[key] for key in recipe.keys() & family.Settings.model_fields.keys()}
    shared = {key: recipe[key] for key in recipe.keys() & TrainingRecipe.model_fields.keys()}
    parts = {
        "data": family.Data.model_validate(settings.data),
        "recipe": family.Settings.model_validate(own),
    }
    found = {
        f"{section}.{key}": value
        for section, model in parts.items()
        for key, value in model.model_dump(mode="json").items()
    }
    training = TrainingRecipe.model_validate(shared).model_dump(mode="json")
    return found | {f"recipe.{key}": value for key, value in training.items()}


def point_of(published: dict[str, Any]) -> int:
    """Which of a preset's enqueued points what was published is compared with."""
    return int(published.get("point", 1))


def deviations_of(settings: Settings, point: int) -> dict[str, Any]:
    """What a preset says of that point; keys of all but the first end in ` (point 2)`."""
    ends = f" (point {point})"
    if point > 1:
        named = settings.deviations.items()
        return {key.removesuffix(ends): value for key, value in named if key.endswith(ends)}
    return {key: value for key, value in settings.deviations.items() if " (point " not in key}


def preset(name: str) -> Settings:
    """A preset's settings."""
    settings, _ = load_settings(Asked(preset=name))
    return settings


def tables() -> str:
    """A table for each preset."""
    return "\n\n".join("\n".join(_table(name, of)) for name, of in PUBLISHED.items())


def _table(name: str, published: dict[str, Any]) -> Iterator[str]:
    point = point_of(published)
    settings = preset(published.get("preset", name))
    ours, deviations = enqueued_point(settings, point), deviations_of(settings, point)
    which = "" if point == 1 else f", point {point}"
    yield f"### `{published.get('preset', name)}`{which}, line by line"
    yield ""
    yield f"Source: {published['source']}."
    yield ""
    yield "| | published | ours | equal, or why not |"
    yield "|---|---|---|---|"
    for key, value in published["values"].items():
        known = deviations.pop(key, None)
        why = "equal" if known is None else known.why
        said = _told(value) if known is None else known.published
        yield f"| `{key}` | {said} | {_told(ours[key])} | {why} |"
    for key, other in deviations.items():
        yield f"| {key} | {other.published} | {other.ours} | {other.why} |"


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def with_tables(page: str) -> str:
    """The page with its tables as presets have them now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
