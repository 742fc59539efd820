"""runs/<study>/study.yml: the settings in effect, and refusing to change what a study means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.settings.layers import Asked
from orchestrator.settings.schema import Range, Settings
from orchestrator.settings.yaml import dump_yaml, read_mapping
from orchestrator.study.parent_record import ParentRecord
from protocol.errors import SettingsError, UserError
from protocol.files import write_text
from protocol.folders import StudyFolder

# Changing one of these would make trials of one study incomparable.
_MEANING = (
    "family",
    "objective",
    "data",
    "parent",
    "recipe",
    "search",
    "folds",
    "seed",
    "parallel",
)
# Within those, these change how fast a trial runs and not what it computes; Optuna accepts a
# range that moves, because each trial keeps the range that it was drawn from.
_FREE = (
    "recipe.loader_workers",
    "data.cache_folder",
    "data.cache_gb",
    # How a copy of the model is cut; how many copies share a batch (ranks) does mean something.
    "parallel.kind",
    "parallel.stages",
    "parallel.devices",
    "parallel.schedule",
)
_FREE_ENDINGS = (".low", ".high")

_HEAD = """\
# The settings of this study as they are in effect. Written by the program; to change something,
# edit config.yml or the preset, or give options, and type the same command again.
"""


class StudyFile(BaseModel):
    """What study.yml holds."""

    asked: Asked
    settings: Settings
    parent: ParentRecord | None = None  # that the study was begun with


def read_study_file(folder: StudyFolder) -> StudyFile | None:
    """The file of an existing study; None for a new one.

    Raises:
        UserError: the file is damaged.
    """
    if not folder.settings.exists():
        return None
    try:
        return StudyFile.model_validate(read_mapping(folder.settings))
    except (ValidationError, SettingsError) as error:
        raise UserError(f"{folder.settings} is damaged: {error}") from None


def write_study_file(folder: StudyFolder, content: StudyFile) -> None:
    """Write study.yml atomically; what was asked for can be repeated in any working directory."""
    asked = content.asked.anchored(Path.cwd())
    plain = content.model_copy(update={"asked": asked}).model_dump(mode="json")
    write_text(folder.settings, _HEAD + dump_yaml(plain))


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """The dotted keys whose values differ."""
    before, after = _values(old), _values(new)
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def refuse_other_meaning(folder: StudyFolder, old: Settings, new: Settings) -> list[str]:
    """The changed keys, all of them harmless.

    Raises:
        SettingsError: a change would make the study's trials incomparable.
    """
    changed = changed_keys(old, new)
    refused = [key for key in changed if _means_something(key)]
    if refused:
        before, after = _values(old), _values(new)
        lines = "\n".join(
            f"  {key}: the study has {before.get(key)!r}, now {after.get(key)!r}" for key in refused
        )
        raise SettingsError(
            f"study {folder.name!r} was begun with other settings; trials of both would not be "
            f"comparable. Undo the change, or choose another --study_name:\n{lines}"
        )
    return changed


def _means_something(key: str) -> bool:
    if key in _FREE or (key.startswith("search.") and key.endswith(_FREE_ENDINGS)):
        return False
    return key.split(".")[0] in _MEANING


def _values(settings: Settings) -> dict[str, Any]:
    """Every dotted key's value, and for a range whether it is one of whole numbers."""
    values = _flat(settings.model_dump(mode="json"))
    for key, spec in settings.search.items():
        if isinstance(spec, Range):
            values[f"search.{key}.whole_numbers"] = spec.integer
    return values


def _flat(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
