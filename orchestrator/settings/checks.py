"""Refusing settings that could only fail later: before anything of a study is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from orchestrator.launcher.base import Launcher
from orchestrator.settings.complaints import nearest
from orchestrator.settings.layers import Layers
from orchestrator.settings.schema import Range, Settings
from orchestrator.settings.script_checks import check_script, check_section
from orchestrator.settings.space import (
    Search,
    Space,
    candidates,
    check_point,
    grid,
    sampled,
    unreachable,
)
from protocol.doors import Call
from protocol.errors import SettingsError
from protocol.recipe import FILE_KEY, SHA256_KEY, Recipe, TrainingRecipe

_SAMPLE = 64  # points of the search that are tried beforehand
_FILLED_IN = (f"recipe.{FILE_KEY}", f"recipe.{SHA256_KEY}")  # by the `parent` section


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What checking found out about the family and its data."""

    space: Space
    metrics: dict[str, str]  # the family's, with the better direction of each
    samples: dict[str, int]  # by split
    free: list[str]  # dotted keys of the family that change no result
    inputs: Mapping[str, Any]  # by dotted key: the path that it names, and the files there
    refused: str = ""  # a point of the search that the family would refuse, and why
    remarks: list[str] = field(
        default_factory=list
    )  # on searches that are narrow, data that look wrong


def check_at_once(settings: Settings, layers: Layers) -> None:
    """What can be checked without loading the family.

    Raises:
        SettingsError: naming the key.
    """
    with _placed(layers):
        check_section(settings)
        _check_search(settings)
        _check_folds(settings)
        _check_tracking(settings)
        _check_notices(settings)
        if settings.scripted:
            return
        for given in candidates(settings.search, settings.recipe):
            _check_training(given, settings.search)


def _check_search(settings: Settings) -> None:
    if not settings.search:
        raise SettingsError("nothing is searched", key="search")
    for index, point in enumerate(settings.enqueue):
        check_point(point, settings.search, f"enqueue[{index}]")
    if settings.sampler.kind == "grid":
        grid(settings.search)
        if settings.enqueue:
            raise SettingsError(
                "a grid search tries every point in an order of its own; found points to try "
                "first, expected []",
                key="enqueue",
            )


def _check_tracking(settings: Settings) -> None:
    if settings.tracking.tensorboard and find_spec("tensorboard") is None:
        raise SettingsError(
            "true needs tensorboard, which is not installed; run scripts/setup.sh tensorboard",
            key="tracking.tensorboard",
        )


def _check_notices(settings: Settings) -> None:
    variable = settings.notify.variable
    if variable is not None and not os.environ.get(variable):
        raise SettingsError(
            f"names the environment variable {variable}, which is not set", key="notify.url"
        )


def _check_folds(settings: Settings) -> None:
    if settings.pruner.kind == "wilcoxon" and settings.folds == 1:
        raise SettingsError(
            "wilcoxon compares trials fold by fold; found folds: 1, expected folds above 1 or "
            "another pruner",
            key="pruner.kind",
        )
    if settings.folds > 1 and "fold" in settings.data:
        raise SettingsError(
            f"found {settings.data['fold']!r} beside folds: {settings.folds}, which trains on "
            "every fold in turn; remove one of the two",
            key="data.fold",
        )


def _check_training(given: Mapping[str, Any], search: Search) -> None:
    try:
        Recipe.of(given)
    except SettingsError as error:
        key = error.key.removeprefix("recipe.")
        section = "search" if key.split(".")[0] in search else "recipe"
        raise error.at(key=f"{section}.{key}") from None


@contextlib.contextmanager
def _placed(layers: Layers) -> Iterator[None]:
    """Put the source of an error's key in front of it."""
    try:
        yield
    except SettingsError as error:
        raise layers.placed(error) from None


def check_with_family(
    settings: Settings, layers: Layers, launcher: Launcher, waiting: Callable[[], None]
) -> Checked:
    """What only the family and its data can tell.

    Raises:
        SettingsError: naming file and key of everything that is wrong.
        UserError: the data cannot be used.
    """
    if settings.scripted:
        return _checked_script(settings, layers)
    points = sampled(settings.search, settings.recipe, _SAMPLE)
    answer = launcher.call(
        Call.CHECK_SETTINGS,
        {
            "family": settings.family,
            "recipes": list(candidates(settings.search, settings.recipe)),
            "data": settings.data,
            "objective": settings.objective.model_dump(),
            "searched": sorted(settings.search),
            "folds": settings.folds,
            "stages": settings.parallel.depth,
            "parent": settings.parent is not None,
            "sample": [{**settings.recipe, **point} for point in points],
        },
        waiting,
    )
    if answer["errors"]:
        sentences = [_sentence(error, layers) for error in answer["errors"]]
        raise SettingsError("\n".join(dict.fromkeys(sentences)))
    defaults = {**TrainingRecipe().model_dump(), **answer["family_keys"]}
    space = Space.of(settings.search, settings.recipe, defaults)
    with _placed(layers):
        for key in space.ordered():
            _refuse_unreachable(key, space)
    return Checked(
        space=space,
        metrics=answer["metrics"],
        samples=answer["samples"],
        free=answer["free"],
        refused=_refusal(answer["refused"], points, layers),
        remarks=[*_remarks(settings.search, answer["fractional"], layers), *answer["warnings"]],
        inputs=answer["inputs"],
    )


def _checked_script(settings: Settings, layers: Layers) -> Checked:
    """The same of a command, whose metrics and data only it knows itself."""
    remarks = check_script(settings, layers)
    space = Space.of(settings.search, settings.recipe, {}, scripted=True)
    with _placed(layers):
        if (settings.pruner.kind, settings.pruner.max_resource, space.most_epochs) == (
            "hyperband",
            None,
            None,
        ):
            raise SettingsError(
                "missing; hyperband needs to know how many epochs a trial has at most, which "
                "`recipe: {epochs: 30}` would say as well",
                key="pruner.max_resource",
            )
        for key in space.ordered():
            _refuse_unreachable(key, space)
    objective = settings.objective
    return Checked(
        space=space,
        metrics={objective.metric: objective.direction},
        samples={},
        free=[],
        inputs={},
        remarks=remarks,
    )


def _refusal(refused: list[dict[str, Any]], points: list[dict[str, Any]], layers: Layers) -> str:
    """What is wrong with the first refused point of a sample, and how many are."""
    if not refused:
        return ""
    first = refused[0]
    point = ", ".join(f"{key}={value}" for key, value in points[first["index"]].items())
    sentence = _sentence({"key": first["key"], "problem": first["problem"]}, layers)
    return (
        f"{sentence} (at {point}); {len(refused)} of {len(points)} points drawn from the search "
        "cannot be trained: give the values as `choices`, whole numbers, or a `step`"
    )


def _remarks(search: Search, fractional: list[str], layers: Layers) -> list[str]:
    """Ranges written in whole numbers are searched in whole numbers, which may not be meant."""
    remarks = []
    for key in fractional:
        spec = search[key]
        if isinstance(spec, Range) and spec.integer and spec.step is None:
            problem = (
                f"whole numbers alone are searched, since low ({spec.low}) and high ({spec.high}) "
                f"are written so; write {spec.low}.0 for all numbers between, or step: 1"
            )
            remarks.append(str(layers.placed(SettingsError(problem, key=f"search.{key}"))))
    return remarks


def _sentence(error: Mapping[str, Any], layers: Layers) -> str:
    key, problem = error["key"], error["problem"]
    if key in _FILLED_IN and key not in layers.sources:
        key = "parent"
    known = error.get("valid_keys")
    hint = ""
    if known:
        hint = f"{nearest(key.rpartition('.')[2], known)}; known are {', '.join(known)}"
    return str(layers.placed(SettingsError(f"{problem}{hint}", key=key)))


def _refuse_unreachable(key: str, space: Space) -> None:
    """A condition that can never hold means that the key would never be searched."""
    search, values = space.search, space.values
    for other, wanted in search[key].when.items():
        listed = wanted if isinstance(wanted, list) else [wanted]
        if other in search:
            expected = [unreachable(value, search[other]) for value in listed]
        else:
            expected = [None if value == values[other] else "" for value in listed]
        if all(problem is not None for problem in expected):
            because = expected[0] or f"{values[other]!r}, to which it is fixed"
            raise SettingsError(
                f"never true: found {wanted!r}, expected {because}",
                key=f"search.{key}.when.{other}",
            )


def trials_in_all(settings: Settings) -> int:
    """The study's number of trials; a grid ends when all of it was tried."""
    if settings.sampler.kind != "grid":
        return settings.n_trials
    points = 1
    for values in grid(settings.search).values():
        points *= len(values)
    return min(settings.n_trials, points)
