"""Which trial is best, and whose checkpoints stay."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.study.record import STATES, can_be_best, direction_of, is_feasible
from protocol.files import partial
from protocol.folders import StudyFolder
from protocol.objective import ranked


def point_to_best(folder: StudyFolder, study: optuna.Study) -> None:
    """Let runs/<study>/best lead to the best trial's folder."""
    best = best_trial(study)
    if best is None:
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


def rank_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that can be the best, the best first; the earlier of equals first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    able = (t for t in complete if can_be_best(STATES[t.state.name], is_feasible(t)))
    return ranked(able, lambda trial: trial.value, direction_of(study))


def keep_best(folder: StudyFolder, study: optuna.Study, best_trials: int | None) -> None:
    """Remove the checkpoints of ended trials that are not among the best `best_trials`.

    Until that many trials are complete, nothing that could still be useful goes.
    """
    if best_trials is None:
        return
    drop_checkpoints(folder, study, {trial.number for trial in rank_trials(study)[:best_trials]})


def drop_checkpoints(folder: StudyFolder, study: optuna.Study, kept: set[int]) -> None:
    """Remove the checkpoints of ended trials, but for those whose numbers are `kept`."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished() and trial.number not in kept:
            for checkpoint in folder.trial(trial.number).path.rglob("*.pth"):
                checkpoint.unlink(missing_ok=True)
