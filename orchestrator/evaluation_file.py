"""A trial's evaluation.json, by split, and a line for every case in a table of its own."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import SettingsError
from orchestrator.files import write_json, write_text
from orchestrator.trial_folder import TrialFolder


def save_evaluation(folder: TrialFolder, name: str, found: Mapping[str, Any]) -> None:
    """Put `found` in place of what evaluation.json has under `name`, atomically.

    Raises:
        SettingsError: the file that is there is damaged.
    """
    known = read_evaluations(folder)
    known[name] = _storable(found)
    write_json(folder.evaluation, known)


def read_evaluations(folder: TrialFolder) -> dict[str, Any]:
    """Every evaluation of the trial, by split; none where there is no file.

    Raises:
        SettingsError: the file is damaged.
    """
    if not folder.evaluation.exists():
        return {}
    try:
        known = json.loads(folder.evaluation.read_text())
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise SettingsError(
            f"{folder.evaluation} is damaged: found no JSON mapping; remove it and evaluate again"
        )
    return known


def save_cases(path: Path, reports: Sequence[Mapping[str, Any]]) -> None:
    """Write a line for every case of every fold; an empty field where a score has no meaning."""
    cases = [(report.get("fold"), case) for report in reports for case in report["cases"]]
    names = list(dict.fromkeys(name for _, case in cases for name in case["scores"]))
    folds = any(fold is not None for fold, _ in cases)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(["fold"] if folds else []), "case", "group", *names])
    for fold, case in cases:
        scores = [_field(case["scores"].get(name)) for name in names]
        writer.writerow([*([fold] if folds else []), case["name"], case["group"], *scores])
    write_text(path, text.getvalue())


def save_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that may lack some of the columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _field(value: float | None) -> str:
    return "" if value is None else repr(value)


def _storable(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: as words."""
    if isinstance(value, Mapping):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
