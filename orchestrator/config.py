"""From files and command line to one validated Settings, with errors that name their place.

Layers, the later one winning: studies/<preset>.yml, config.yml (or --config FILE), --set.
Relative paths mean: beside the file that holds them, or in the working directory for --set.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from orchestrator.yaml_files import parse_yaml, read_mapping

ROOT = Path(__file__).resolve().parents[1]
_PATH_KEY = re.compile(r"(root|\w+_file|\w+_folder)")
_MOST_ERRORS = 8


class Asked(BaseModel):
    """What the command line asked for; kept with the study, so that resuming repeats it."""

    preset: str | None = None
    config: str | None = None
    sets: list[str] = []

    def over(self, earlier: Asked) -> Asked:
        """This request, with what it leaves open taken from an earlier one."""
        keys = {entry.partition("=")[0] for entry in self.sets}
        kept = [entry for entry in earlier.sets if entry.partition("=")[0] not in keys]
        return Asked(
            preset=self.preset or earlier.preset,
            config=self.config or earlier.config,
            sets=kept + self.sets,
        )


@dataclass
class Layers:
    """Mappings merged so far, and which source set each dotted key."""

    merged: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, layer: dict[str, Any], source: str) -> None:
        self._let_go_of_replaced(layer)
        self.merged = _merge(self.merged, layer)
        for key in _dotted(layer):
            self.sources[key] = source

    def source_of(self, key: str) -> str:
        """The source that set `key`, or the nearest key above or below it."""
        while key:
            if key in self.sources:
                return self.sources[key]
            below = [source for other, source in self.sources.items() if other.startswith(key)]
            if below:
                return below[-1]
            key = key.rpartition(".")[0]
        return next(reversed(self.sources.values()), "settings")

    def _let_go_of_replaced(self, layer: dict[str, Any]) -> None:
        """Drop what `layer` replaces as a whole rather than key by key."""
        recipe, search = layer.get("recipe"), layer.get("search")
        searched = self.merged.get("search")
        if isinstance(recipe, dict) and isinstance(searched, dict):
            for key in set(recipe) - set(search or {}):
                searched.pop(key, None)  # fixing a value ends its search
        data = layer.get("data")
        if isinstance(data, dict) and "root" in data and isinstance(self.merged.get("data"), dict):
            self.merged["data"].pop("generate", None)  # never generate into someone's own folder


def load_settings(asked: Asked) -> tuple[Settings, Layers]:
    """The settings in effect for what was asked, and where each key came from.

    Raises:
        SettingsError: naming file, key, what was found and what was expected.
    """
    config_file = Path(asked.config) if asked.config else ROOT / "config.yml"
    config = _absolute_paths(read_mapping(config_file), config_file.parent)
    overrides = [(_parse_set(entry), f"--set {entry}") for entry in asked.sets]
    preset = asked.preset or _last_preset(overrides) or config.get("preset")
    if not isinstance(preset, str):
        raise SettingsError(f"{config_file}: preset: expected the name of a file in studies/")
    preset_file = find_preset(preset)
    layers = Layers()
    layers.add(_absolute_paths(read_mapping(preset_file), preset_file.parent), str(preset_file))
    layers.add(config, str(config_file))
    for layer, source in overrides:
        layers.add(_absolute_paths(layer, Path.cwd()), source)
    layers.merged["preset"] = preset
    return validate(layers), layers


def find_preset(preset: str) -> Path:
    """The file of a preset, given by its name in studies/ or as a path."""
    if preset.endswith((".yml", ".yaml")):
        return Path(preset).absolute()
    path = ROOT / "studies" / f"{preset}.yml"
    if not re.fullmatch(r"[\w.-]+", preset) or not path.is_file():
        known = sorted(file.stem for file in (ROOT / "studies").glob("*.yml"))
        raise SettingsError(
            f"preset: there is no {preset!r}{nearest(preset, known)}; known are "
            f"{', '.join(known)}, or give a path that ends in .yml"
        )
    return path


def validate(layers: Layers) -> Settings:
    """The merged layers as Settings.

    Raises:
        SettingsError: a sentence for every key that is wrong.
    """
    try:
        return Settings.model_validate(layers.merged)
    except ValidationError as error:
        found = error.errors(include_url=False)
        sentences = [_sentence(detail, layers) for detail in found[:_MOST_ERRORS]]
        if len(found) > _MOST_ERRORS:
            sentences.append(f"(and {len(found) - _MOST_ERRORS} more)")
        raise SettingsError("\n".join(sentences)) from None


def _sentence(detail: ErrorDetails, layers: Layers) -> str:
    location = [str(part) for part in detail["loc"]]
    if location[0] == "search":
        del location[2:3]  # the name of the union's member, which is no key
    key = ".".join(location)
    source = layers.source_of(key)
    if detail["type"] == "extra_forbidden":
        valid = valid_keys(location[:-1])
        return (
            f"{source}: {key}: unknown key{nearest(location[-1], valid)}; "
            f"expected one of {', '.join(valid)}"
        )
    if detail["type"] == "missing":
        return f"{source}: {key}: this key is missing"
    expected = detail["msg"].removeprefix("Value error, ")
    expected = re.sub(r"^Input should be", "expected", expected)
    return f"{source}: {key}: found {detail['input']!r}, {expected}"


def valid_keys(location: list[str]) -> list[str]:
    """The keys that may stand below `location`."""
    if len(location) == 2 and location[0] == "search":
        return ["low", "high", "log", "step", "when", "choices"]
    model: type[BaseModel] = Settings
    for part in location:
        found = model.model_fields[part].annotation if part in model.model_fields else None
        candidates = [found, *get_args(found)]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return []
        model = models[0]
    return sorted(model.model_fields)


def nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _parse_set(entry: str) -> dict[str, Any]:
    key, equals, text = entry.partition("=")
    key = key.strip()
    if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
        raise SettingsError(f"--set {entry}: expected dotted.key=value, as in recipe.epochs=10")
    value = parse_yaml(text, f"--set {key}")
    for part in reversed(key.split(".")):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _last_preset(overrides: list[tuple[dict[str, Any], str]]) -> str | None:
    named = [layer["preset"] for layer, _ in overrides if "preset" in layer]
    return str(named[-1]) if named else None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        earlier = merged.get(key)
        if value is None and isinstance(earlier, dict):
            del merged[key]  # `search: {momentum: null}` takes a searched key away
        elif (
            isinstance(value, dict) and isinstance(earlier, dict) and not _replaces(value, earlier)
        ):
            merged[key] = _merge(earlier, value)
        else:
            merged[key] = value
    return merged


def _replaces(over: dict[str, Any], base: dict[str, Any]) -> bool:
    """Whether two mappings mean different things, so that mixing their keys makes no sense."""
    other_kind = "kind" in over and over["kind"] != base.get("kind")
    other_search = ("choices" in over) != ("choices" in base) and ("low" in over or "low" in base)
    return other_kind or other_search


def _dotted(mapping: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in mapping.items():
        keys.append(f"{prefix}{key}")
        if isinstance(value, dict):
            keys.extend(_dotted(value, f"{prefix}{key}."))
    return keys


def _absolute_paths(layer: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`layer` with its relative paths made absolute, seen from `folder`."""
    resolved = dict(layer)
    for section in ("data", "recipe"):
        if isinstance(layer.get(section), dict):
            resolved[section] = {
                key: _absolute(value, folder)
                if isinstance(value, str) and _PATH_KEY.fullmatch(key)
                else value
                for key, value in layer[section].items()
            }
    family = layer.get("family")
    if isinstance(family, str) and ":" in family:
        path, _, name = family.rpartition(":")
        resolved["family"] = f"{_absolute(path, folder)}:{name}"
    return resolved


def _absolute(path: str, folder: Path) -> str:
    return str((folder / Path(path).expanduser()).resolve())
