"""Points that somebody wants to be tried: enqueued once each, whatever is killed in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from orchestrator import words
from orchestrator.settings.space import Space, active, check_point
from orchestrator.steering.requests import Request
from orchestrator.study.journal import read_journal
from orchestrator.study.study_file import StudyFile
from protocol.errors import SettingsError, UserError
from protocol.folders import StudyFolder
from protocol.recipe import TrainingRecipe

_ADDED_BY = "added_by"  # the user attribute that holds the request and the point's place in it
_REASON = "added"  # who asked for it, and why


def add(folder: StudyFolder, study: optuna.Study, known: StudyFile, request: Request) -> str:
    """Enqueue the points of a request; the answer.

    Raises:
        UserError: a sentence for every mistake; nothing is enqueued then.
    """
    if known.settings.sampler.kind == "grid":
        raise UserError("a grid search tries every point in an order of its own, and takes none")
    space = _space(folder, known)
    points = {place: _searched(point, space) for place, point in request.points.items()}
    problems = [said for place, point in points.items() for said in _mistakes(point, space, place)]
    if problems:
        raise UserError("\n".join(problems))
    trials = study.get_trials(deepcopy=False)
    there = {str(trial.user_attrs.get(_ADDED_BY)) for trial in trials}
    wanted = [
        (f"{request.id}/{place}/{count}", point)
        for place, point in points.items()
        for count in range(request.repeat)
    ]
    for mark, point in wanted:
        if mark not in there:
            study.enqueue_trial(point, user_attrs={_ADDED_BY: mark, _REASON: request.reason})
    return _told(study, known.settings.n_trials, len(wanted))


def _told(study: optuna.Study, budget: int, count: int) -> str:
    states = Counter(trial.state for trial in study.get_trials(deepcopy=False))
    begun = sum(states.values()) - states[TrialState.WAITING]
    over = begun + states[TrialState.WAITING] - budget
    told = f"{words.counted(count, 'point')} enqueued, to be tried next"
    if over <= 0:
        return told
    return (
        f"{told}; that is {over} more than the budget of {words.counted(budget, 'trial')} allows: "
        f"`set n_trials={budget + over}` has all of them tried"
    )


def _space(folder: StudyFolder, known: StudyFile) -> Space:
    """What is searched, and what every other key is."""
    entries = read_journal(folder)
    if entries:
        return entries[-1].space
    settings = known.settings  # an earlier version kept no journal
    return Space.of(settings.search, settings.recipe, TrainingRecipe().model_dump())


def _searched(point: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """A point without what it says of other keys, as far as that is so anyway."""
    return {
        key: value
        for key, value in point.items()
        if key in space.search or key not in space.values or space.values[key] != value
    }


def _mistakes(point: Mapping[str, Any], space: Space, place: str) -> Iterator[str]:
    """What is wrong with a point, a sentence each."""
    for key, value in point.items():
        if key not in space.search and key in space.values:
            yield (
                f"{place}: {key}: found {value!r}, but every trial has {space.values[key]!r}, to "
                "which it is fixed"
            )
            continue
        try:
            check_point({key: value}, space.search, place)
        except SettingsError as error:
            yield f"{place}: {key}: {error.problem}"
            continue
        values = {**{k: v for k, v in space.values.items() if k not in space.search}, **point}
        spec = space.search[key]
        if spec.when.keys() <= values.keys() and not active(spec, values):
            needed = ", ".join(f"{other} is {wanted!r}" for other, wanted in spec.when.items())
            yield f"{place}: {key}: it is searched only where {needed}"
