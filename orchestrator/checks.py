"""Refusing settings that could only fail later: before anything of a study is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestrator.config import Layers, nearest
from orchestrator.errors import SettingsError
from orchestrator.launcher.base import Launcher
from orchestrator.recipe import TrainingRecipe, split_recipe
from orchestrator.search_space import active, candidates, check_point, grid, ordered
from orchestrator.settings import Settings


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
    if settings.sampler.kind == "grid":
        grid(settings.search)
    for key, recipe in candidates(settings.search, settings.recipe):
        _check_training(recipe, key, layers)


def _check_training(recipe: dict[str, Any], tried: str, layers: Layers) -> None:
    try:
        TrainingRecipe.model_validate(split_recipe(recipe)[0])
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = str(detail["loc"][0])
        section = "search" if key == tried or key not in recipe else "recipe"
        place = f"{section}.{key}"
        expected = detail["msg"].replace("Input should be", "expected", 1)
        raise SettingsError(
            f"{layers.source_of(place)}: {place}: found {detail['input']!r}, {expected}"
        ) from None


def check_with_family(
    settings: Settings, layers: Layers, launcher: Launcher, waiting: Callable[[], None]
) -> Checked:
    """What only the family and its data can tell.

    Raises:
        SettingsError: naming file and key of everything that is wrong.
        UserError: the data cannot be used.
    """
    tried = list(candidates(settings.search, settings.recipe))
    answer = launcher.call(
        "orchestrator.worker.check:check_settings",
        {
            "family": settings.family,
            "recipes": [recipe for _, recipe in tried],
            "data": settings.data,
            "objective": settings.objective.model_dump(),
            "searched": sorted(settings.search),
        },
        waiting,
    )
    if answer["errors"]:
        sentences = [_sentence(error, layers) for error in answer["errors"]]
        raise SettingsError("\n".join(dict.fromkeys(sentences)))
    training = TrainingRecipe().model_dump()
    defaults = {**training, **answer["family_keys"]}
    order = ordered(settings.search, {**defaults, **settings.recipe})
    _refuse_unreachable(settings, order, {**defaults, **settings.recipe}, layers)
    return Checked(defaults=defaults, metrics=answer["metrics"], samples=answer["samples"])


def _sentence(error: Mapping[str, Any], layers: Layers) -> str:
    key, problem = error["key"], error["problem"]
    known = error.get("valid_keys")
    hint = ""
    if known:
        if key.split(".")[0] in ("recipe", "search"):
            known = sorted({*known, *TrainingRecipe.model_fields})
        hint = f"{nearest(key.rpartition('.')[2], known)}; known are {', '.join(known)}"
    return f"{layers.source_of(key)}: {key}: {problem}{hint}"


def _refuse_unreachable(
    settings: Settings, order: list[str], values: dict[str, Any], layers: Layers
) -> None:
    """A condition on a fixed value that does not hold means that the key is never searched."""
    for key in order:
        spec = settings.search[key]
        fixed = {k: v for k, v in spec.when.items() if k not in settings.search}
        if not active(spec.model_copy(update={"when": fixed}), values):
            raise SettingsError(
                f"{layers.source_of(f'search.{key}')}: search.{key}.when: never true, because "
                + ", ".join(f"{k} is fixed to {values[k]!r}" for k in fixed)
            )


def trials_in_all(settings: Settings) -> int:
    """The study's number of trials; a grid ends when all of it was tried."""
    if settings.sampler.kind != "grid":
        return settings.n_trials
    points = 1
    for values in grid(settings.search).values():
        points *= len(values)
    return min(settings.n_trials, points)
