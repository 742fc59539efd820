"""Which trial is best, and whose checkpoints stay."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.study.counting.ignored import ignored_trials
from orchestrator.study.record import STATES, can_be_best, direction_of, is_feasible
from protocol.bests import checkpoints_of
from protocol.files import partial
from protocol.folders import StudyFolder

_ENDED = tuple(state for state in TrialState if state.is_finished())


def point_to_best(folder: StudyFolder, study: optuna.Study) -> None:
    """Let runs/<study>/best lead to the best trial's folder."""
    best = best_trial(study)
    if best is None:
        folder.best.unlink(missing_ok=True)  # what it led to may be ignored by now
        return
    target = Path(f"trial_{best.number}")
    if folder.best.is_symlink() and folder.best.readlink() == target:
        return
    temporary = partial(folder.best)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(folder.best)


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The best trial."""
    ranked = rank_trials(study)
    return ranked[0] if ranked else None


def best_of(study: optuna.Study) -> tuple[int, float] | None:
    """The best trial's number and value."""
    best = best_trial(study)
    return None if best is None or best.value is None else (best.number, best.value)


def rank_trials(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The trials that can be the best, the best first; the earlier of equals first."""
    ranked = _RANKINGS.setdefault(study, _Ranking()).of(study)
    ignored = ignored_trials(study)
    return [trial for trial in ranked if trial.number not in ignored] if ignored else ranked


class _Ranking:
    """Of one study: a complete trial never changes, so each is put in its place once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._places: list[tuple[float, int]] = []  # signed value and number
        self._trials: list[FrozenTrial] = []

    def of(self, study: optuna.Study) -> Sequence[FrozenTrial]:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) > len(self._seen):
            sign = 1.0 if direction_of(study) == "minimize" else -1.0
            for trial in complete:
                if trial._trial_id not in self._seen:
                    self._add(trial, sign)
        return self._trials

    def _add(self, trial: FrozenTrial, sign: float) -> None:
        self._seen.add(trial._trial_id)
        value = trial.value
        able = can_be_best(STATES[trial.state.name], is_feasible(trial))
        if able and value is not None and math.isfinite(value):
            place = (sign * value, trial.number)
            index = bisect.bisect(self._places, place)
            self._places.insert(index, place)
            self._trials.insert(index, trial)


_RANKINGS: WeakKeyDictionary[optuna.Study, _Ranking] = WeakKeyDictionary()


def keep_best(
    folder: StudyFolder,
    study: optuna.Study,
    best_trials: int | None,
    cleared: set[int] | None = None,
) -> None:
    """Remove the checkpoints of ended trials that are not among the best `best_trials`.

    Until that many trials are complete, nothing that could still be useful goes.
    """
    if best_trials is None:
        return
    kept = {trial.number for trial in rank_trials(study)[:best_trials]}
    kept |= ignored_trials(study).keys()  # which may count again
    drop_checkpoints(folder, study, kept, cleared)


def drop_checkpoints(
    folder: StudyFolder,
    study: optuna.Study,
    kept: set[int],
    cleared: set[int] | None = None,
) -> None:
    """Remove the checkpoints of ended trials, but for those whose numbers are `kept`.

    Args:
        cleared: ids of trials that have none any more and are not looked at again; those that are
            looked at now are added.
    """
    cleared = set() if cleared is None else cleared
    ended = study.get_trials(deepcopy=False, states=_ENDED)
    left = {trial._trial_id for trial in ended} - cleared
    for trial in ended if left else ():
        if trial._trial_id in left and trial.number not in kept:
            for checkpoint in checkpoints_of(folder.trial(trial.number)):
                checkpoint.unlink(missing_ok=True)
            cleared.add(trial._trial_id)
