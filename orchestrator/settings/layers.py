"""From files and command line to one validated Settings, with errors that name their place.

Layers, the later one winning: studies/<preset>.yml, config.yml (or --config FILE), --set.
Relative paths mean: beside the file that holds them, or in the working directory for --set.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator import words
from orchestrator.settings.complaints import complaints, nearest
from orchestrator.settings.schema import Settings
from orchestrator.settings.yaml import parse_value, read_mapping
from protocol.errors import SettingsError
from protocol.recipe import names_a_path

ROOT = Path(__file__).resolve().parents[2]
_YAML = (".yml", ".yaml")
_MOST_ERRORS = 8


class Asked(BaseModel):
    """What the command line asked for; kept with the study, so that resuming repeats it."""

    preset: str | None = None
    config: str | None = None
    sets: list[str] = []
    steered: list[str] = []  # what was set while the study was there, over all of these

    def over(self, earlier: Asked) -> Asked:
        """This request, with what it leaves open taken from an earlier one."""
        keys = {_set_key(entry) for entry in self.sets}
        kept = [entry for entry in earlier.sets if _set_key(entry) not in keys]
        # The same command typed again means the study as it is by now.
        news = {_set_key(entry) for entry in self.sets if entry not in earlier.sets}
        return Asked(
            preset=self.preset or (None if "preset" in keys else earlier.preset),
            config=self.config or earlier.config,
            sets=kept + self.sets,
            steered=[entry for entry in earlier.steered if _set_key(entry) not in news],
        )

    def steered_by(self, sets: list[str]) -> Asked:
        """This request with settings that were changed meanwhile."""
        keys = {_set_key(entry) for entry in sets}
        kept = [entry for entry in self.steered if _set_key(entry) not in keys]
        return self.model_copy(update={"steered": kept + sets})

    def anchored(self, folder: Path) -> Asked:
        """This request as it can be repeated in any working directory, made in `folder`."""
        anchored = {
            name: [_anchored(entry, folder) for entry in getattr(self, name)]
            for name in ("sets", "steered")
        }
        return self.model_copy(update=anchored)


@dataclass
class Layers:
    """Mappings merged so far, and which source set each dotted key."""

    merged: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    overruled: dict[str, str] = field(default_factory=dict)  # a sentence for each such key

    def add(self, layer: dict[str, Any], source: str) -> None:
        before, given = leaves(self.merged), leaves(layer)
        for key in before.keys() & given.keys():
            if before[key] != given[key]:
                self.overruled[key] = words.without_passwords(
                    f"{key}: {given[key]!r} by {_short(source)}, "
                    f"not {before[key]!r} as in {_short(self.source_of(key))}"
                )
        self._let_go_of_replaced(layer)
        self.merged = _merge(self.merged, layer)
        for key in _dotted(layer):
            self.sources[key] = source

    def told(self) -> list[str]:
        """What one layer decided although another one below it had said otherwise."""
        return list(self.overruled.values())

    def source_of(self, key: str) -> str:
        """The source that set `key` or the nearest key above it; for a missing key the first."""
        while key:
            if key in self.sources:
                return self.sources[key]
            key = key.rpartition(".")[0]
        return next(iter(self.sources.values()), "settings")

    def placed(self, error: SettingsError) -> SettingsError:
        """`error` with the source of its key; of one without a key, `error` itself."""
        return error.at(source=self.source_of(error.key)) if error.key else error

    def _let_go_of_replaced(self, layer: dict[str, Any]) -> None:
        """Drop what `layer` replaces as a whole rather than key by key."""
        recipe, search, data = (layer.get(section) for section in ("recipe", "search", "data"))
        ended = [key for key, value in _items(search) if value is None]
        ended += [key for key, _ in _items(recipe) if key not in dict(_items(search))]
        for key in ended:  # a value is fixed, or `search: {momentum: null}` takes it away
            _pop(self.merged.get("search"), key)
        if "root" in dict(_items(data)):
            _pop(self.merged.get("data"), "generate")  # never generate into someone's own folder


def load_settings(asked: Asked) -> tuple[Settings, Layers]:
    """The settings in effect for what was asked, and where each key came from.

    Raises:
        SettingsError: naming file, key, what was found and what was expected.
    """
    config_file = Path(asked.config) if asked.config else ROOT / "config.yml"
    config = _absolute_paths(read_mapping(config_file), config_file.parent)
    overrides = [
        (_absolute_paths(parsed_set(entry, option), Path.cwd()), f"{option} {_set_key(entry)}")
        for option, entries in (("--set", asked.sets), ("set", asked.steered))
        for entry in entries
    ]
    preset = asked.preset or _last_preset(overrides) or config.get("preset")
    if not isinstance(preset, str):
        raise SettingsError(f"{config_file}: preset: expected the name of a file in studies/")
    preset_file = find_preset(preset)
    layers = Layers()
    layers.add(_absolute_paths(read_mapping(preset_file), preset_file.parent), str(preset_file))
    layers.add(config, str(config_file))
    for layer, source in overrides:
        layers.add(layer, source)
    layers.merged["preset"] = preset
    return validate(layers), layers


def find_preset(preset: str) -> Path:
    """The file of a preset, given by its name in studies/ or as a path."""
    if preset.endswith(_YAML):
        return Path(preset).expanduser().absolute()
    path = ROOT / "studies" / f"{preset}.yml"
    if not re.fullmatch(r"[\w.-]+", preset) or not path.is_file():
        known = sorted(file.stem for file in (ROOT / "studies").glob("*.yml"))
        raise SettingsError(
            f"there is no {preset!r}{nearest(preset, known)}; known are "
            f"{', '.join(known)}, or give a path that ends in .yml",
            key="preset",
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
        found = complaints(error, layers.merged)
        sentences = [str(layers.placed(complaint)) for complaint in found[:_MOST_ERRORS]]
        if len(found) > _MOST_ERRORS:
            sentences.append(f"(and {len(found) - _MOST_ERRORS} more)")
        raise SettingsError("\n".join(sentences)) from None


def parsed_set(entry: str, option: str = "--set") -> dict[str, Any]:
    """The mapping that dotted.key=value comes to.

    Raises:
        SettingsError: it is not of that form; tells what came behind `option`.
    """
    _, equals, text = entry.partition("=")
    key = _set_key(entry)
    if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
        shown = words.without_passwords(entry)
        raise SettingsError(f"{option} {shown}: expected dotted.key=value, as in recipe.epochs=10")
    value = parse_value(text, f"{option} {key}")
    for part in reversed(key.split(".")):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _set_key(entry: str) -> str:
    return entry.partition("=")[0].strip()


def _anchored(entry: str, folder: Path) -> str:
    layer = parsed_set(entry)
    value: Any = _absolute_paths(layer, folder)
    if value == layer:
        return entry
    for part in _set_key(entry).split("."):
        value = value[part]
    return f"{_set_key(entry)}={json.dumps(value)}"


def _last_preset(overrides: list[tuple[dict[str, Any], str]]) -> str | None:
    named = [layer["preset"] for layer, _ in overrides if "preset" in layer]
    return str(named[-1]) if named else None


def _merge(base: dict[str, Any], over: dict[str, Any], place: tuple[str, ...] = ()) -> Any:
    merged = dict(base)
    for key, value in over.items():
        earlier, here = merged.get(key), (*place, key)
        if value is None and (isinstance(earlier, dict) or place == ("search",)):
            merged.pop(key, None)
        elif (
            isinstance(value, dict)
            and isinstance(earlier, dict)
            and not _replaces(value, earlier, here)
        ):
            merged[key] = _merge(earlier, value, here)
        else:
            merged[key] = value
    return merged


def _replaces(over: dict[str, Any], base: dict[str, Any], place: tuple[str, ...]) -> bool:
    """Whether two mappings mean different things, so that mixing their keys makes no sense."""
    match place:
        case ("sampler" | "pruner" | "parallel" as section,):
            usual = Settings.model_fields[section].default.kind
            return "kind" in over and over["kind"] != base.get("kind", usual)
        case ("parent",):
            return {"study", "checkpoint"} <= {*over, *base}
        case ("script", "report"):
            return True
        case ("search", _):
            return ("choices" in over and "low" in base) or ("low" in over and "choices" in base)
    return False


def _items(section: Any) -> list[tuple[str, Any]]:
    return list(section.items()) if isinstance(section, dict) else []


def _pop(section: Any, key: str) -> None:
    if isinstance(section, dict):
        section.pop(key, None)


def leaves(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value that is no section, by its dotted key."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, dict):
            flat.update(leaves(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _short(source: str) -> str:
    """A file's name without its folder, or an option."""
    return source if source.startswith(("--", "set ")) else Path(source).name


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
    for section in ("data", "parent", "recipe", "script"):
        if isinstance(layer.get(section), dict):
            resolved[section] = {
                key: _absolute(value, folder) if _is_path(section, key, value) else value
                for key, value in layer[section].items()
            }
    family = layer.get("family")
    if isinstance(family, str) and ":" in family:
        path, _, name = family.rpartition(":")
        resolved["family"] = f"{_absolute(path, folder)}:{name}"
    preset = layer.get("preset")
    if isinstance(preset, str) and preset.endswith(_YAML):
        resolved["preset"] = _absolute(preset, folder)
    return resolved


def _is_path(section: str, key: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if section == "script":
        return key == "workdir"
    if section == "parent":  # a study's name alone means one beside the study that asks
        return key == "checkpoint" or (key == "study" and "/" in value)
    return names_a_path(key)


def _absolute(path: str, folder: Path) -> str:
    """The path in full, links as typed: `..` goes where that leads to the same place."""
    full = str((folder / Path(path).expanduser()).absolute())
    short = os.path.normpath(full)
    return short if os.path.realpath(short) == os.path.realpath(full) else full
