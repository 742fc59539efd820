"""A trial's evaluation.json, by split, and a line for every case in a table of its own."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from protocol.errors import SettingsError
from protocol.files import write_json, write_text
from protocol.folders import TrialFolder

EVERYTHING = "all"

Summary = dict[str, dict[str, Any]]  # by group: {"cases": n, "scores": {name: statistic}}


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


def summary(cases: Sequence[Mapping[str, Any]]) -> Summary:
    """The mean and standard deviation of every score, over all cases and for each group.

    Args:
        cases: {"group", "scores": {name: value or None}}; None does not count.
    """
    groups = list(dict.fromkeys(case["group"] for case in cases))
    found = {EVERYTHING: _of_group(cases)}
    if len(groups) > 1:
        for group in groups:
            found[group] = _of_group([case for case in cases if case["group"] == group])
    return found


def across_folds(folds: Sequence[Summary]) -> Summary:
    """The mean of the folds' means, and the standard deviation between them."""
    found: Summary = {}
    for group in dict.fromkeys(group for fold in folds for group in fold):
        present = [fold[group] for fold in folds if group in fold]
        names = dict.fromkeys(name for part in present for name in part["scores"])
        found[group] = {
            "cases": sum(part["cases"] for part in present),
            "scores": {
                name: _statistic(
                    [part["scores"][name]["mean"] for part in present if name in part["scores"]],
                    "folds",
                )
                for name in names
            },
        }
    return found


def _of_group(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case["scores"].items():
            if value is not None:
                values.setdefault(name, []).append(value)
    scores = {name: _statistic(column, "cases") for name, column in values.items()}
    return {"cases": len(cases), "scores": scores}


def _statistic(values: Sequence[float], over: str) -> dict[str, Any]:
    """Of a sample: the deviation is with n − 1, and there is none of a single value."""
    finite = all(map(math.isfinite, values))
    return {
        "mean": fmean(values) if finite else sum(values) / len(values),
        "std": stdev(values) if finite and len(values) > 1 else None,
        over: len(values),
    }
