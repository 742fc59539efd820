"""The search space: its order, its conditions, and asking a trial for one point of it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from orchestrator.errors import SettingsError
from orchestrator.settings import Choices, Range

Search = Mapping[str, Range | Choices]


def distribution(spec: Range | Choices) -> BaseDistribution:
    """A searched key in Optuna's terms."""
    if isinstance(spec, Choices):
        return CategoricalDistribution(spec.choices)
    if spec.integer:
        return IntDistribution(
            int(spec.low), int(spec.high), log=spec.log, step=int(spec.step or 1)
        )
    return FloatDistribution(float(spec.low), float(spec.high), log=spec.log, step=spec.step)


def ordered(search: Search, fixed: Mapping[str, Any]) -> list[str]:
    """The searched keys, each after the keys that its condition names.

    Raises:
        SettingsError: a condition names an unknown key, or conditions form a circle.
    """
    for key, spec in search.items():
        for other in spec.when:
            if other not in search and other not in fixed:
                known = [*search, *fixed]
                near = difflib.get_close_matches(other, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise SettingsError(f"search.{key}.when: there is no key {other!r}{hint}")
    order: list[str] = []
    waiting = dict(search)
    while waiting:
        ready = [key for key, spec in waiting.items() if not any(k in waiting for k in spec.when)]
        if not ready:
            raise SettingsError(f"search: the conditions of {', '.join(waiting)} form a circle")
        order.extend(ready)
        for key in ready:
            del waiting[key]
    return order


def active(spec: Range | Choices, values: Mapping[str, Any]) -> bool:
    """Whether a key's condition holds among the values chosen so far."""
    return all(
        values.get(key) in (wanted if isinstance(wanted, list) else [wanted])
        for key, wanted in spec.when.items()
    )


def suggest(
    trial: optuna.Trial, search: Search, recipe: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """A whole recipe: what is fixed, and what the sampler chooses for this trial.

    Asking again for a trial that has some of its values already gives the same point.
    """
    values = {**defaults, **recipe}
    chosen = dict(recipe)
    for key in ordered(search, values):
        if active(search[key], values):
            spec = search[key]
            if isinstance(spec, Choices):
                value: Any = trial.suggest_categorical(key, spec.choices)
            elif spec.integer:
                value = trial.suggest_int(
                    key, int(spec.low), int(spec.high), step=int(spec.step or 1), log=spec.log
                )
            else:
                value = trial.suggest_float(
                    key, float(spec.low), float(spec.high), step=spec.step, log=spec.log
                )
            values[key] = chosen[key] = value
    return chosen


def candidates(search: Search, recipe: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Recipes that together use every choice and both ends of every range, with the key tried."""
    base = {**recipe, **{key: _ends(spec)[0] for key, spec in search.items()}}
    yield "", dict(base)
    for key, spec in search.items():
        for value in _ends(spec)[1:]:
            yield key, {**base, key: value}


def _ends(spec: Range | Choices) -> list[Any]:
    return list(spec.choices) if isinstance(spec, Choices) else [spec.low, spec.high]


def grid(search: Search) -> dict[str, list[Any]]:
    """Every value of every key, for a grid search.

    Raises:
        SettingsError: a key has infinitely many values.
    """
    return {key: _grid_values(key, spec) for key, spec in search.items()}


def _grid_values(key: str, spec: Range | Choices) -> list[Any]:
    if isinstance(spec, Choices):
        return list(spec.choices)
    if spec.when:
        raise SettingsError(f"search.{key}: a grid search cannot have conditions")
    if spec.log or (spec.step is None and not spec.integer):
        raise SettingsError(
            f"search.{key}: a grid search needs `choices` or a `step`, found a continuous range"
        )
    step = spec.step or 1
    count = math.floor((spec.high - spec.low) / step + 1e-9) + 1
    return [spec.low + index * step for index in range(count)]


def check_point(point: Mapping[str, Any], search: Search, place: str) -> None:
    """Refuse a point to be tried first that the search could never reach.

    Raises:
        SettingsError: naming the key and what it may be.
    """
    for key, value in point.items():
        if key not in search:
            near = difflib.get_close_matches(key, list(search), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise SettingsError(
                f"{place}.{key}: not a searched key{hint}; searched are {', '.join(search)}"
            )
        spec = search[key]
        if isinstance(spec, Choices):
            if value not in spec.choices:
                raise SettingsError(
                    f"{place}.{key}: found {value!r}, expected one of {spec.choices}"
                )
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingsError(f"{place}.{key}: found {value!r}, expected a number")
        elif not spec.low <= value <= spec.high:
            raise SettingsError(f"{place}.{key}: found {value}, expected {spec.low} to {spec.high}")
