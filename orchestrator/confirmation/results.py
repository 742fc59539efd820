"""From the records of the search and of the runs to what is known of each trial, ranked."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.confirmation.conclusion import conclusion
from orchestrator.confirmation.repetitions import Repetition
from orchestrator.confirmation.saved import (
    Comparison,
    Confirmation,
    Confirmed,
    Run,
    RunState,
)
from orchestrator.confirmation.statistics import LEVEL, difference, estimate
from orchestrator.study.record import StudyRecord, TrialRecord
from protocol.folders import StudyFolder
from protocol.messages import Ending
from protocol.objective import Objective, ranked


def confirmation_of(
    search: StudyRecord,
    runs: StudyRecord,
    asked: Mapping[int, int],
    *,
    folder: StudyFolder,
    objective: Objective,
    study_seed: int,
) -> Confirmation:
    """What the runs came to, also while some are missing.

    Args:
        search: the study whose trials are confirmed.
        runs: the study of the confirmations.
        asked: how many runs each trial is to have, by the trial's number; a trial that was asked
            for earlier only has those it has.
        folder: of the search.
        objective: of the search.
        study_seed: from which the runs' seeds derive.
    """
    by_source: dict[int, list[Run]] = {number: [] for number in asked}
    for trial in runs.trials:
        repetition = Repetition.of(trial.notes)
        by_source.setdefault(repetition.source, []).append(_run(trial, repetition, study_seed))
    trials = [
        _confirmed(search.trial(number), number, found, max(asked.get(number, 0), len(found)))
        for number, found in by_source.items()
    ]
    trials = _best_first(trials, objective)
    comparison = _compare(trials)
    winner = trials[0] if trials else None
    favourite = search.best.number if search.best else None
    return Confirmation(
        study=search.name,
        metric=objective.metric,
        direction=objective.direction,
        level=LEVEL,
        finished=not any(trial.count("unfinished") for trial in trials),
        trials=trials,
        comparison=comparison,
        verdict=conclusion(trials, comparison, favourite, objective.metric),
        checkpoint=winner and _checkpoint(folder, winner, objective),
    )


def _run(trial: TrialRecord, repetition: Repetition, study_seed: int) -> Run:
    state = _state(trial)
    return Run(
        trial=trial.number,
        repetition=repetition.count,
        seed=repetition.seed(study_seed),
        state=state,
        value=trial.value if state == "complete" else None,
        reason=trial.reason,
    )


def _state(trial: TrialRecord) -> RunState:
    if trial.state in ("running", "waiting"):
        return "unfinished"
    if trial.ending == Ending.NONFINITE:
        return "diverged"
    if trial.state != "complete" or trial.value is None:
        return "failed"
    return "complete" if math.isfinite(trial.value) else "diverged"


def _confirmed(found: TrialRecord | None, number: int, runs: list[Run], asked: int) -> Confirmed:
    plain = Confirmed(
        trial=number,
        params=found.params if found else {},
        search_value=found.value if found else None,
        asked=asked,
        runs=sorted(runs, key=lambda run: run.repetition),
    )
    if not plain.values:
        return plain
    known = estimate(plain.values)
    return plain.model_copy(
        update={
            "mean": known.mean,
            "deviation": known.deviation,
            "low": known.low,
            "high": known.high,
        }
    )


def _best_first(trials: list[Confirmed], objective: Objective) -> list[Confirmed]:
    """The best mean first, trials without one last."""
    by_number = sorted(trials, key=lambda trial: trial.trial)
    known = ranked(by_number, lambda trial: trial.mean, objective.direction)
    return [*known, *(trial for trial in by_number if trial.mean is None)]


def _compare(trials: list[Confirmed]) -> Comparison | None:
    """The winner against the runner-up, which is all that verifying the winner takes.

    Though both were picked after the fact, the plain two-sided test of these two keeps its level,
    exactly so for normal values of equal variance: Hung & Fithian, "Rank verification for
    exponential families", Annals of Statistics 47, 2019.
    """
    ranked = [trial for trial in trials if trial.mean is not None]
    if len(ranked) < 2:
        return None
    winner, runner_up = ranked[:2]
    assert winner.mean is not None
    assert runner_up.mean is not None
    tested = difference(winner.values, runner_up.values)
    return Comparison(
        winner=winner.trial,
        runner_up=runner_up.trial,
        by=winner.mean - runner_up.mean,
        low=tested and tested.low,
        high=tested and tested.high,
        p_value=tested and tested.p_value,
    )


def _checkpoint(folder: StudyFolder, winner: Confirmed, objective: Objective) -> str | None:
    """The checkpoint of the winner's best run that still has one."""
    for run in ranked(winner.runs, lambda run: run.value, objective.direction):
        path = folder.confirmations.trial(run.trial).best
        if path.exists():
            return str(path.relative_to(folder.path))
    return None
