"""Searches the parameters of an evaluation: an Optuna study of its own, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from pydantic import TypeAdapter

from orchestrator.proposing.sampler import make_sampler
from orchestrator.settings.schema import SamplerSettings, Searched
from orchestrator.settings.space import Space

BATCH = 8  # proposals scored at a time: few, for none of them knows how the others do

Score = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]
_SPACE: TypeAdapter[dict[str, Searched]] = TypeAdapter(dict[str, Searched])


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a search came to."""

    parameters: dict[str, Any]  # of the best trial, the earliest of equals
    value: float
    default_value: float  # of the defaults, which were tried first
    trials: list[dict[str, Any]]  # {"trial", "value", parameter: value}
    seconds: float


def search_postprocessing(
    space: Mapping[str, Any],
    defaults: Mapping[str, Any],
    score: Score,
    *,
    trials: int,
    seed: int,
    told: Callable[[int, float], None] = lambda _done, _best: None,
) -> Tuned:
    """Try `trials` points of the space, the defaults first, and keep the one of largest value.

    Args:
        space: spelled as in a study's `search:`.
        score: {"value": float} for each of some points.
        told: hears how many are done, and the best value so far.
    """
    search = Space.of(_SPACE.validate_python(space), {}, {})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(dict(defaults))
    begun = time.monotonic()
    points: list[dict[str, Any]] = []
    while len(points) < trials:
        asked = []
        for _ in range(min(BATCH, trials - len(points))):
            study.sampler = make_sampler(SamplerSettings(), search.search, seed, len(points))
            trial = study.ask()
            asked.append(trial)
            points.append(search.suggest(trial))
        values = [float(found["value"]) for found in score(points[-len(asked) :])]
        for trial, value in zip(asked, values, strict=True):
            study.tell(trial, value)
        told(len(points), study.best_value)
    known = [float(trial.value or 0.0) for trial in study.get_trials(deepcopy=False)]
    best = max(range(trials), key=lambda number: known[number])
    return Tuned(
        parameters=points[best],
        value=known[best],
        default_value=known[0],
        trials=[
            {"trial": number, "value": known[number], **point}
            for number, point in enumerate(points)
        ],
        seconds=time.monotonic() - begun,
    )
