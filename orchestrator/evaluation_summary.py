"""Means over cases, and over folds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

EVERYTHING = "all"

Summary = dict[str, dict[str, Any]]  # by group: {"cases": n, "scores": {name: statistic}}


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
