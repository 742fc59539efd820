"""runs/<study>/study.yml: the settings in effect, and refusing to change what a study means."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.settings.layers import Asked, leaves
from orchestrator.settings.schema import Range, Settings
from orchestrator.settings.yaml import dump_yaml, read_mapping
from orchestrator.study.counting.growth import grown
from orchestrator.study.inputs import Input
from orchestrator.study.journal import read_journal
from orchestrator.study.parent_record import ParentRecord
from protocol.errors import SettingsError, UserError
from protocol.files import write_text
from protocol.folders import StudyFolder
from protocol.recipe import FREE, TrainingRecipe, keys_with, names_a_path

# Of a study that was begun before its file said so.
_FREE_DATA = ["data.cache_folder", "data.cache_gb"]

_HEAD = """\
# The settings of this study as they are in effect. Written by the program; to change something,
# edit config.yml or the preset, or give options, and type the same command again.
"""


class StudyFile(BaseModel):
    """What study.yml holds."""

    asked: Asked
    settings: Settings
    parent: ParentRecord | None = None  # that the study was begun with
    threads: int | None = None  # CPU threads of one rank; of a study of version 0.2 unknown
    free: list[str] = _FREE_DATA  # the family's keys that change no result
    inputs: dict[str, Input] = {}  # what the study reads, by the key that names it
    identity: str = ""  # the study's token; empty for a study of an earlier version


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


def refuse_other_meaning(folder: StudyFolder, begun: StudyFile, new: Settings) -> list[str]:
    """The changed keys, all of them harmless.

    A path that has changed is judged by what lies there, in `inputs.take`, where that is known of
    the study's beginning.

    Raises:
        SettingsError: a change would make the study's trials incomparable.
    """
    old = begun.settings
    before, after = _values(old), _values(new)
    changed = [
        key
        for key in changed_keys(old, new)
        if not _moved(key, before.get(key), after.get(key), begun.inputs)
    ]
    free = {*begun.free, *_free_keys(old), *_free_keys(new)}
    fine, problems = grown(old, new, read_journal(folder) if old.search != new.search else [])
    refused = [
        key
        for key in changed
        if not (_is_free(key, free) or _is_of({*fine, *problems}, old, key))
        or _is_of_a_grid(key, new)
    ]
    if refused or problems:
        lines = "\n".join(
            [
                *(
                    f"  {key}: the study has {before.get(key)!r}, now {after.get(key)!r}"
                    for key in refused
                ),
                *(f"  search.{key}: {problem}" for key, problem in problems.items()),
            ]
        )
        raise SettingsError(
            f"study {folder.name!r} was begun with other settings; trials of both would not be "
            f"comparable. Undo the change, or choose another --study_name:\n{lines}"
        )
    return changed


def _moved(key: str, old: Any, new: Any, inputs: Collection[str]) -> bool:
    """Whether a place is another, of which something else than its path says if it is the same."""
    if key.startswith("data.generate."):  # how the files there came to be
        return "data.root" in inputs
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    if key == "family":
        old, _, kind = old.rpartition(":")
        new, _, other = new.rpartition(":")
        if kind != other:
            return False
    elif key.partition(".")[0] not in ("data", "recipe") or not names_a_path(key.split(".")[-1]):
        return False
    return key in inputs or os.path.realpath(old) == os.path.realpath(new)


def _is_of(touched: Collection[str], old: Settings, key: str) -> bool:
    """Whether a dotted key says how one of these is searched, or what it is fixed at from now on.

    A key's value stays what it was for trials that were not asked for it.
    """
    section, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    return name in touched and (section == "search" or (section == "recipe" and name in old.search))


def _is_of_a_grid(key: str, settings: Settings) -> bool:
    """A grid is one walk through the points that there were at its beginning."""
    return settings.sampler.kind == "grid" and key.startswith("search.")


def _free_keys(settings: Settings) -> list[str]:
    """The dotted keys, and sections, that may change while a study goes on."""
    return [*_marked(settings), *(f"recipe.{key}" for key in keys_with(FREE, TrainingRecipe))]


def _marked(model: BaseModel, prefix: str = "") -> Iterator[str]:
    yield from (f"{prefix}{key}" for key in keys_with(FREE, type(model)))
    for name in type(model).model_fields:
        value = getattr(model, name)
        for key, item in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(item, BaseModel):
                yield from _marked(item, ".".join(filter(None, (f"{prefix}{name}", key))) + ".")


def _is_free(key: str, free: Collection[str]) -> bool:
    parts = key.split(".")
    return any(".".join(parts[:count]) in free for count in range(1, len(parts) + 1))


def _values(settings: Settings) -> dict[str, Any]:
    """Every dotted key's value, and for a range whether it is one of whole numbers."""
    values = leaves(settings.model_dump(mode="json"))
    for key, spec in settings.search.items():
        if isinstance(spec, Range):
            values[f"search.{key}.whole_numbers"] = spec.integer
    return values
