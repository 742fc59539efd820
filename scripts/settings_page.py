"""Writes the tables of docs/settings.md from the schema; a test holds the page to it.

    .venv/bin/python -m scripts.settings_page

Every table lies between two comments in the page; what stands outside them is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from models.registry import load_family
from orchestrator.launcher.settings import LauncherSettings, OrchestratorJob
from orchestrator.settings import schema
from orchestrator.settings.parallel import Parallel
from orchestrator.settings.script import ScriptSettings
from protocol.objective import Objective
from protocol.recipe import FREE, TrainingRecipe, keys_with
from protocol.script import Reports

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "settings.md"
COMMAND = "python -m scripts.settings_page"
BEGIN, END = f"<!-- keys: begin, written by `{COMMAND}` -->", "<!-- keys: end -->"

Model = type[BaseModel]
Json = Mapping[str, Any]

_HEAD = "| key | type | default | meaning | may change |\n|---|---|---|---|---|"
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_NAMES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "keys",
    "null": "`null`",
}
_SECTIONS: dict[str, Model] = {
    "objective": Objective,
    "script": ScriptSettings,
    "parent": schema.ParentSettings,
    "search": schema.Range,  # and Choices, of which no key may change
    "sampler": schema.SamplerSettings,
    "pruner": schema.PrunerSettings,
    "parallel": Parallel,
    "launcher": LauncherSettings,
    "storage": schema.StorageSettings,
    "keep": schema.Keep,
    "limits": schema.Limits,
    "tracking": schema.TrackingSettings,
    "notify": schema.NotifySettings,
    "recipe": TrainingRecipe,
}
_TITLES = {"search": "`search.KEY`, a range", "recipe": "`recipe`, of every family"}


def families() -> list[str]:
    """The project's own families; what else is installed here is no part of the page."""
    folder = ROOT / "models" / "families"
    return sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")


def with_tables(page: str) -> str:
    """The page with its tables as the schema has them now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def tables() -> str:
    """Every table under its heading."""
    parts = [_part("The study", schema.Settings)]
    for name, model in _SECTIONS.items():
        free = FREE in schema.Settings.model_fields[name].metadata
        parts.append(_part(_TITLES.get(name, f"`{name}`"), model, free=free))
        if model is schema.Range:
            parts.append(_part("`search.KEY`, choices", schema.Choices))
        if model is ScriptSettings:
            parts.append(_part("`script.report`", Reports, free=True))
        if model is LauncherSettings:
            parts.append(_part("`launcher.orchestrator`", OrchestratorJob, free=True))
    parts += [_part(f"`recipe`, of `{name}`", load_family(name).Settings) for name in families()]
    for model, users in _by_data_model().items():
        parts.append(_part(f"`data`, of {_listed(users)}", model))
    for model, users in _by_phantoms().items():
        parts.append(_part(f"`data.generate`, of {_listed(users)}", model))
    return "\n\n".join(parts)


def _part(title: str, model: Model, *, free: bool = False) -> str:
    return "\n".join([f"### {title}", "", _HEAD, *_rows(model, free=free)])


def _by_data_model() -> dict[Model, list[str]]:
    found: dict[Model, list[str]] = {}
    for name in families():
        found.setdefault(load_family(name).Data, []).append(name)
    return found


def _by_phantoms() -> dict[Model, list[str]]:
    found: dict[Model, list[str]] = {}
    for data, users in _by_data_model().items():
        field = data.model_fields.get("generate")
        for model in _models_in(field.annotation if field else None):
            found.setdefault(model, []).extend(users)
    return found


def _models_in(annotation: Any) -> Iterator[Model]:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _rows(model: Model, *, free: bool) -> Iterator[str]:
    whole = model.model_json_schema()
    for name, field in model.model_fields.items():
        cells = (
            f"`{name}`",
            _kind(whole["properties"][name], whole.get("$defs", {})),
            _default(field),
            _meaning(name, field, model),
            "yes" if free else _may_change(name, field, model),
        )
        yield "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _may_change(name: str, field: FieldInfo, model: Model) -> str:
    if FREE in field.metadata:
        return "yes"
    section = _SECTIONS.get(name) if model is schema.Settings else None
    return "in part" if section is not None and keys_with(FREE, section) else "no"


def _plain(cell: str) -> str:
    """Text that Markdown takes for neither a column nor a tag."""
    return re.sub(r"<(?=\w)", "&lt;", cell.replace("|", "\\|"))


def _kind(of: Json, models: Json) -> str:
    """What may stand there, from pydantic's JSON schema."""
    if "$ref" in of:
        return _kind(models[of["$ref"].rpartition("/")[2]], models)
    if "const" in of:
        return f"`{of['const']}`"
    if "enum" in of:
        return _listed(map(str, of["enum"]))
    for union in ("anyOf", "oneOf"):
        if union in of:
            return " or ".join(dict.fromkeys(_kind(one, models) for one in of[union]))
    kind = of.get("type")
    if kind == "array":
        return _list(of, models)
    if kind == "string":
        return "path" if of.get("format") == "path" else "text"
    bounds = [f"{sign} {of[bound]:g}" for bound, sign in _BOUNDS.items() if bound in of]
    return " ".join([_NAMES.get(str(kind), "any value"), ", ".join(bounds)]).strip()


def _list(of: Json, models: Json) -> str:
    places = [_kind(one, models) for one in of.get("prefixItems", [])]
    if places:
        same = len(set(places)) == 1
        return f"list of {len(places)}: {places[0] if same else ', '.join(places)}"
    return f"list: {_kind(of.get('items', {}), models)}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)
    if isinstance(field.default, BaseModel):
        return "as below"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _meaning(name: str, field: FieldInfo, model: Model) -> str:
    """The field's description; of a section, and of the key that names its kind, the section's.

    An option of a sampler or pruner says whose it is.
    """
    of = [f"of {', '.join(one.kinds)}" for one in field.metadata if hasattr(one, "kinds")]
    said = field.description
    if not said and not of:
        sections = [model] if name == "kind" else list(_models_in(field.annotation))
        said = next((_first_line(section) for section in sections), "")
    return "; ".join([*of, *([said] if said else [])])


def _first_line(model: Model) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0].removesuffix(".")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
