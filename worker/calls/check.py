"""Checking settings against a family and its data before a study starts: JSON in, JSON out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from models.family import Family
from models.pipelined import PipelinedFamily
from models.registry import known_families, load_family
from protocol.errors import SettingsError, UserError
from protocol.fingerprint import files_of
from protocol.problems import problems
from protocol.recipe import (
    FILE_KEY,
    FREE,
    Recipe,
    TrainingRecipe,
    keys_with,
    names_a_path,
    own_keys,
    takes_fractions,
)
from worker.ranks.trial import open_split

Problem = dict[str, Any]  # "key", "problem", and "valid_keys" for an unknown key


def check_settings(
    family: str,
    recipes: list[dict[str, Any]],
    data: dict[str, Any],
    objective: dict[str, Any],
    searched: list[str],
    folds: int = 1,
    stages: int = 1,
    parent: bool = False,
    sample: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What is wrong with a study's settings, and what its family offers.

    Args:
        family: a name, or path/to/file.py:ClassName.
        recipes: flat recipes that between them hold every value that may be tried.
        data: the `data:` section.
        objective: {"metric", "direction"}.
        searched: the recipe keys that stand under `search:`.
        folds: above 1 the data must have as many folds.
        stages: above 1 the family's models must be made of pieces.
        parent: whether the recipes name a model that the trials start from.
        sample: flat recipes of points that the search may come to.

    Returns:
        {"errors": [{"key", "problem", "valid_keys"?}], "metrics": {name: direction},
        "family_keys": {key: default}, "free": [dotted keys that change no result],
        "samples": {"train": n, "validation": n},
        "refused": [{"key", "problem", "index"}] of the points in `sample`,
        "fractional": [keys in `searched` that take any number],
        "warnings": [sentences on data that look wrong],
        "inputs": {dotted key: {"path", "files": {name: [bytes, hash]}}} of every path that the
        study reads, as in `protocol.fingerprint`}. Where there are errors the rest may be empty.
    """
    report: dict[str, Any] = {"errors": [], "metrics": {}, "family_keys": {}, "samples": {}}
    report |= {"free": [], "refused": [], "fractional": [], "inputs": {}, "warnings": []}
    try:
        loaded = load_family(family)
    except UserError as error:
        report["errors"] = [{"key": "family", "problem": error.problem}]
        return report
    report["metrics"] = dict(loaded.metrics)
    report["family_keys"] = _defaults(loaded.Settings)
    report["free"] = [
        f"{section}.{key}"
        for section, model in (("recipe", loaded.Settings), ("data", loaded.Data))
        for key in sorted(keys_with(FREE, model))
    ]
    report["fractional"] = [
        key
        for key in searched
        if any(takes_fractions(model, key) for model in (TrainingRecipe, loaded.Settings))
    ]
    if parent and not takes_parent(loaded):
        problem = "trials of this family start from no other model; remove the section"
        report["errors"] = [{"key": "parent", "problem": problem}]
        return report
    recipe_errors = _recipe_problems(loaded, recipes, set(searched))
    report["refused"] = [
        {**problem, "index": index}
        for index, recipe in enumerate(sample or [])
        for problem in _recipe_problems(loaded, [recipe], set(searched))[:1]
    ]
    data_errors = problems(loaded.Data, data, "data") + _fold_problems(loaded, folds)
    data_errors += _stage_problems(loaded, stages)
    report["errors"] = [*recipe_errors, *data_errors, *_objective_problems(loaded, objective)]
    if not recipe_errors and not data_errors:
        try:
            every_fold = [{**data, "fold": fold} for fold in range(folds)] if folds > 1 else [data]
            first = recipes[0] if recipes else {}
            with _warnings_of("data", "models") as report["warnings"]:
                samples = [_samples(loaded, first, section) for section in every_fold]
            report["samples"] = samples[0]
            fixed = {key: first[key] for key in own_keys(first) if key not in searched}
            report["inputs"] = _inputs(loaded, family, fixed, data)
        except UserError as error:
            report["errors"].append(_data_problem(error, data))
    return report


@contextlib.contextmanager
def _warnings_of(*wings: str) -> Iterator[list[str]]:
    """What is warned of within, each once: in the logs alone, nobody would read it in time."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() not in told:
                told.append(record.getMessage())

    listener = Listener(logging.WARNING)
    loggers = [logging.getLogger(wing) for wing in wings]
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield told
    finally:
        for logger in loggers:
            logger.removeHandler(listener)


def takes_parent(family: type[Family[Any, Any]]) -> bool:
    """Whether the family's settings have the keys that a `parent` section fills in."""
    return {"parent_file", "parent_sha256"} <= family.Settings.model_fields.keys()


def devices() -> dict[str, Any]:
    """The machine's GPUs.

    Returns:
        {"cuda": [{"index", "name", "uuid", "memory_gib"}]}.
    """
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = round(properties.total_memory / 2**30, 1)
        told = {"name": properties.name, "uuid": str(properties.uuid), "memory_gib": memory}
        found.append({"index": index, **told})
    return {"cuda": found}


def _recipe_problems(
    family: type[Family[Any, Any]], recipes: list[dict[str, Any]], searched: set[str]
) -> list[Problem]:
    """Each problem once, under the section where its key stands."""
    found: list[Problem] = []
    for problem in _every_problem(family, recipes, searched):
        if problem not in found:
            found.append(problem)
    return found


def _every_problem(
    family: type[Family[Any, Any]], recipes: list[dict[str, Any]], searched: set[str]
) -> Iterator[Problem]:
    valid = [*TrainingRecipe.model_fields, *family.Settings.model_fields]
    for recipe in recipes:
        for problem in (
            *_shared_problems(recipe),
            *_plateau_problems(family, recipe),
            *problems(family.Settings, own_keys(recipe), "recipe"),
        ):
            key = problem["key"].removeprefix("recipe.")
            if key.split(".")[0] in searched:
                problem["key"] = f"search.{key}"
            if "valid_keys" in problem:
                problem["valid_keys"] = valid
            yield problem


def _shared_problems(recipe: dict[str, Any]) -> Iterator[Problem]:
    try:
        Recipe.of(recipe)
    except SettingsError as error:
        yield {"key": error.key, "problem": error.problem}


def _plateau_problems(family: type[Family[Any, Any]], recipe: dict[str, Any]) -> Iterator[Problem]:
    metric = recipe.get("plateau_metric")
    if metric is not None and metric not in family.metrics:
        expected = ", ".join(family.metrics)
        problem = f"found {metric!r}, expected null or one of the family's metrics: {expected}"
        yield {"key": "recipe.plateau_metric", "problem": problem}


def _objective_problems(family: type[Family[Any, Any]], objective: dict[str, Any]) -> list[Problem]:
    metric, direction = str(objective.get("metric")), objective.get("direction")
    if metric not in family.metrics:
        expected = ", ".join(family.metrics)
        problem = f"found {metric!r}, expected one of the family's metrics: {expected}"
        return [{"key": "objective.metric", "problem": problem, "valid_keys": list(family.metrics)}]
    right = family.metrics[metric]
    if direction != right:
        problem = f"found {direction!r}, expected {right!r}, which is better for {metric}"
        return [{"key": "objective.direction", "problem": problem}]
    return []


def _data_problem(error: UserError, data: dict[str, Any]) -> Problem:
    """The problem under its key: of settings without one none, of data files where they lie."""
    unknown = "data.root" if "root" in data else "data"
    return {
        "key": error.key or ("" if isinstance(error, SettingsError) else unknown),
        "problem": error.problem,
    }


def _fold_problems(family: type[Family[Any, Any]], folds: int) -> list[Problem]:
    if folds == 1 or "fold" in family.Data.model_fields:
        return []
    problem = f"found {folds}, but this family's data have no folds; expected 1"
    return [{"key": "folds", "problem": problem}]


def _stage_problems(family: type[Family[Any, Any]], stages: int) -> list[Problem]:
    if stages == 1 or issubclass(family, PipelinedFamily):
        return []
    able = ", ".join(name for name in known_families() if _pipelined(name)) or "none in models/"
    problem = (
        f"found {stages} stages, but the models of this family cannot be cut into pieces; expected "
        f"kind: ddp, or a family that can: {able}"
    )
    return [{"key": "parallel", "problem": problem}]


def _pipelined(family: str) -> bool:
    try:
        return issubclass(load_family(family), PipelinedFamily)
    except UserError:  # of a family whose libraries are not there
        return False


def _samples(
    family: type[Family[Any, Any]], recipe: dict[str, Any], data: dict[str, Any]
) -> dict[str, int]:
    own = own_keys(recipe)
    opened = family(family.Settings.model_validate(own), family.Data.model_validate(data))
    opened.check()
    return {
        "train": len(open_split(opened, "train")),
        "validation": len(open_split(opened, "validation")),
    }


def _inputs(
    loaded: type[Family[Any, Any]], family: str, recipe: dict[str, Any], data: dict[str, Any]
) -> dict[str, Any]:
    """What lies at every path that decides what is trained, under the path's key."""
    data = loaded.Data.model_validate(data).model_dump()
    free = keys_with(FREE, loaded.Data)
    caches = [Path(data[key]) for key in free if names_a_path(key) and data[key] is not None]
    places = {f"data.{key}": value for key, value in data.items() if key not in free}
    places |= {f"recipe.{key}": value for key, value in recipe.items() if key != FILE_KEY}
    paths = {
        key: Path(value)
        for key, value in places.items()
        if names_a_path(key.partition(".")[2]) and value is not None
    }
    if ":" in family:
        paths["family"] = Path(family.rpartition(":")[0])
    return {
        key: {
            "path": str(path),
            "files": {name: list(known) for name, known in files_of(path, caches).items()},
        }
        for key, path in paths.items()
        if path.exists()
    }


def _defaults(settings: type[BaseModel]) -> dict[str, Any]:
    """Every key with its default, None where there is none."""
    return {
        name: None
        if field.is_required()
        else to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)
        for name, field in settings.model_fields.items()
    }
