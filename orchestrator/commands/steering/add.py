"""`add`: points that a study is to try next, typed, of a file, or of another study."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.commands.steering.posted import posted
from orchestrator.settings.yaml import parse_value
from orchestrator.steering.requests import Request, What
from orchestrator.study.find import read_study, require_study
from orchestrator.study.study_file import read_study_file
from protocol.errors import SettingsError
from protocol.folders import StudyFolder

Points = dict[str, dict[str, Any]]  # each under the place that it comes from

_TYPED = "the point"
_PREFIX = "params_"  # of the columns of Optuna's data frames


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Where points come from: one of the three."""

    typed: Sequence[str]  # key=value
    study: StudyFolder | None  # whose best trials are taken
    top: int
    file: Path | None


def add_points(folder: StudyFolder, wanted: Wanted, repeat: int, why: str, console: Console) -> int:
    """Have points enqueued, each `repeat` times.

    Raises:
        UserError: they are wrong, with a sentence for every mistake, or the study is.
    """
    require_study(folder)
    points = _points(folder, wanted)
    request = Request(what=What.ADD, points=points, repeat=repeat, why=why)
    return posted(folder, request, console)


def _points(folder: StudyFolder, wanted: Wanted) -> Points:
    given = [bool(wanted.typed), wanted.study is not None, wanted.file is not None]
    if sum(given) != 1:
        raise SettingsError(
            "expected a point such as learning_rate=1e-3, or --from STUDY, or --file points.csv; "
            "one of the three"
        )
    if wanted.study is not None:
        return _of_study(folder, wanted.study, wanted.top)
    if wanted.file is not None:
        return _of_file(wanted.file)
    point: dict[str, Any] = {}
    for entry in wanted.typed:
        key, equals, text = entry.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"found {entry!r}, expected key=value, as in learning_rate=1e-3")
        if key.strip() in point:
            raise SettingsError(f"{key.strip()} stands twice; a point has one value of each key")
        point[key.strip()] = parse_value(text, key.strip())
    return {_TYPED: point}


def _of_study(folder: StudyFolder, other: StudyFolder, top: int) -> Points:
    """Its best trials: what they were asked for, and what was fixed for them of what is searched.

    Raises:
        SettingsError: there is no such study, or no trial of it is complete.
    """
    record = read_study(other)
    if not record.ranked:
        raise SettingsError(f"no trial of study {other.name!r} is complete", key="--from")
    here, there = read_study_file(folder), read_study_file(other)
    fixed = {} if there is None else there.settings.recipe
    searched = {} if here is None else here.settings.search
    known = {key: value for key, value in fixed.items() if key in searched}
    return {
        f"trial {trial.number} of {other.name}": {**known, **trial.params}
        for trial in record.ranked[:top]
    }


def _of_file(file: Path) -> Points:
    """A line each, under a line that names the keys; what is left empty is proposed.

    Raises:
        SettingsError: it cannot be read, or a line has another number of values.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = [(line, row) for line, row in enumerate(csv.reader(stream), start=1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{file} cannot be read: {error}", key="--file") from error
    if len(rows) < 2:
        raise SettingsError(
            f"{file} holds no point; expected a line of keys, and a line for each point",
            key="--file",
        )
    keys = [name.strip().removeprefix(_PREFIX) for name in rows[0][1]]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise SettingsError(f"{file}: {', '.join(twice)} stands twice in line 1", key="--file")
    points: Points = {}
    for line, row in rows[1:]:
        place = f"{file.name} line {line}"
        if len(row) != len(keys):
            raise SettingsError(f"{place}: found {len(row)} values, expected {len(keys)}")
        cells = zip(keys, row, strict=True)
        points[place] = {
            key: parse_value(text, f"{place}: {key}") for key, text in cells if text.strip()
        }
    return points
