"""Refusing settings that could only fail later: before anything of a study is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestrator.launcher.base import Launcher
from orchestrator.settings.complaints import complaints, nearest
from orchestrator.settings.layers import Layers
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Search, candidates, check_point, grid, ordered, unreachable
from protocol.errors import SettingsError
from protocol.recipe import FILE_KEY, SHA256_KEY, TrainingRecipe, split_recipe

_FILLED_IN = (f"recipe.{FILE_KEY}", f"recipe.{SHA256_KEY}")  # by the `parent` section


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What checking found out about the family and its data."""

    defaults: dict[str, Any]  # of every recipe key, the family's and the common ones
    metrics: dict[str, str]  # the family's, with the better direction of each
    samples: dict[str, int]  # by split


def check_at_once(settings: Settings, layers: Layers) -> None:
    """What can be checked without loading the family.

    Raises:
        SettingsError: naming the key.
    """
    if not settings.search:
        raise SettingsError(f"{layers.source_of('search')}: search: nothing is searched")
    for index, point in enumerate(settings.enqueue):
        check_point(point, settings.search, f"{layers.source_of('enqueue')}: enqueue[{index}]")
    if settings.pruner.kind == "wilcoxon" and settings.folds == 1:
        raise SettingsError(
            f"{layers.source_of('pruner')}: pruner.kind: wilcoxon compares trials fold by fold; "
            "found folds: 1, expected folds above 1 or another pruner"
        )
    if settings.folds > 1 and "fold" in settings.data:
        raise SettingsError(
            f"{layers.source_of('data.fold')}: data.fold: found {settings.data['fold']!r} beside "
            f"folds: {settings.folds}, which trains on every fold in turn; remove one of the two"
        )
    if settings.sampler.kind == "grid":
        with _placed(layers):
            grid(settings.search)
        if settings.enqueue:
            raise SettingsError(
                f"{layers.source_of('enqueue')}: enqueue: a grid search tries every point in an "
                "order of its own; found points to try first, expected []"
            )
    for recipe in candidates(settings.search, settings.recipe):
        _check_training(recipe, settings, layers)


@contextlib.contextmanager
def _placed(layers: Layers) -> Iterator[None]:
    """Put the source of the key with which an error begins in front of it."""
    try:
        yield
    except SettingsError as error:
        key = str(error).partition(":")[0]
        raise SettingsError(f"{layers.source_of(key)}: {error}") from None


def _check_training(recipe: dict[str, Any], settings: Settings, layers: Layers) -> None:
    try:
        TrainingRecipe.model_validate(split_recipe(recipe)[0])
    except ValidationError as error:
        first = complaints(error, recipe)[0]
        section = "search" if first.key.split(".")[0] in settings.search else "recipe"
        place = f"{section}.{first.key}"
        raise SettingsError(f"{layers.source_of(place)}: {place}: {first.problem}") from None


def check_with_family(
    settings: Settings, layers: Layers, launcher: Launcher, waiting: Callable[[], None]
) -> Checked:
    """What only the family and its data can tell.

    Raises:
        SettingsError: naming file and key of everything that is wrong.
        UserError: the data cannot be used.
    """
    answer = launcher.call(
        "worker.calls.check:check_settings",
        {
            "family": settings.family,
            "recipes": list(candidates(settings.search, settings.recipe)),
            "data": settings.data,
            "objective": settings.objective.model_dump(),
            "searched": sorted(settings.search),
            "folds": settings.folds,
            "stages": settings.parallel.depth,
            "parent": settings.parent is not None,
        },
        waiting,
    )
    if answer["errors"]:
        sentences = [_sentence(error, layers) for error in answer["errors"]]
        raise SettingsError("\n".join(dict.fromkeys(sentences)))
    training = TrainingRecipe().model_dump()
    defaults = {**training, **answer["family_keys"]}
    values = {**defaults, **settings.recipe}
    with _placed(layers):
        for key in ordered(settings.search, values):
            _refuse_unreachable(key, settings.search, values)
    return Checked(defaults=defaults, metrics=answer["metrics"], samples=answer["samples"])


def _sentence(error: Mapping[str, Any], layers: Layers) -> str:
    key, problem = error["key"], error["problem"]
    if key in _FILLED_IN and key not in layers.sources:
        key = "parent"
    known = error.get("valid_keys")
    hint = ""
    if known:
        if key.split(".")[0] in ("recipe", "search"):
            known = sorted({*known, *TrainingRecipe.model_fields})
        hint = f"{nearest(key.rpartition('.')[2], known)}; known are {', '.join(known)}"
    return f"{layers.source_of(key)}: {key}: {problem}{hint}"


def _refuse_unreachable(key: str, search: Search, values: Mapping[str, Any]) -> None:
    """A condition that can never hold means that the key would never be searched."""
    for other, wanted in search[key].when.items():
        listed = wanted if isinstance(wanted, list) else [wanted]
        if other in search:
            expected = [unreachable(value, search[other]) for value in listed]
        else:
            expected = [None if value == values[other] else "" for value in listed]
        if all(problem is not None for problem in expected):
            because = expected[0] or f"{values[other]!r}, to which it is fixed"
            raise SettingsError(
                f"search.{key}.when.{other}: never true: found {wanted!r}, expected {because}"
            )


def trials_in_all(settings: Settings) -> int:
    """The study's number of trials; a grid ends when all of it was tried."""
    if settings.sampler.kind != "grid":
        return settings.n_trials
    points = 1
    for values in grid(settings.search).values():
        points *= len(values)
    return min(settings.n_trials, points)
