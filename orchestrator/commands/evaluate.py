"""`evaluate`: a trial's best checkpoint judged on a whole split, case by case.

Nothing is written to the study's database, so that this works while the study runs.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.evaluation.bench import EvaluationBench, JudgedRun
from orchestrator.evaluation.postprocessing import Tuned, search_postprocessing
from orchestrator.evaluation.results import (
    across_folds,
    save_cases,
    save_evaluation,
    save_table,
    summary,
)
from orchestrator.live.console import PatientConsole
from orchestrator.reporting.evaluation import print_evaluation
from orchestrator.study.find import resolve_trial
from protocol.errors import SettingsError
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Plan, load_plan
from protocol.seeds import derive_seed

_SPLITS = {"val": "validation", "validation": "validation", "test": "test"}
_NOT_ENDED = "the trial has not ended, its best checkpoint may still be replaced"


def evaluate_trial(
    study: StudyFolder, trial: str, *, split: str, device: str, tune_postprocessing: int | None
) -> None:
    """Judge a trial on a split, after tuning its post-processing if that is asked for.

    Raises:
        SettingsError: there is no such study, trial, split or device, or nothing to tune.
        CheckpointError, DataError: the trial's checkpoint or data are missing or damaged.
    """
    if split not in _SPLITS:
        raise SettingsError(f"found {split!r}, expected val or test", key="--split")
    folder = resolve_trial(study, trial)
    plan = _plan(folder)
    runs = runs_of(folder, plan)
    console = PatientConsole()
    with EvaluationBench(console, plan.family, device) as bench:
        tuned = None
        if tune_postprocessing is not None:
            tuned = _tuned(bench, runs, tune_postprocessing, plan.seed)
            save_table(folder.postprocessing, tuned.trials)
        name = _SPLITS[split] + ("_tuned" if tuned else "")
        pictures = folder.pictures / f"evaluation_{name}"
        parameters = tuned.parameters if tuned else None
        reports = [
            {
                "fold": run.fold,
                **bench.judge(run, _SPLITS[split], plan.objective, pictures, parameters),
            }
            for run in runs
        ]
    drawn = [path for report in reports for path in report["pictures"]]
    _remove_others(pictures, drawn)
    found = _evaluation(folder, plan, _SPLITS[split], reports, tuned)
    save_cases(folder.cases(name), reports)
    save_evaluation(folder, name, found)
    print_evaluation(console, folder, name, found, drawn)


def runs_of(folder: TrialFolder, plan: Plan) -> list[JudgedRun]:
    """What there is to judge: with folds, each that has a checkpoint."""
    if plan.folds == 1:
        return [JudgedRun(None, folder.best, folder.residuals / "whole")]
    return [
        JudgedRun(fold, best, folder.residuals / f"fold_{fold}")
        for fold, best in folder.fold_bests(plan.folds)
    ]


def _plan(folder: TrialFolder) -> Plan:
    try:
        return load_plan(folder.plan)
    except (OSError, ValueError):
        raise SettingsError(
            f"{folder.plan} is missing or damaged, and says how the trial is to be judged; "
            "choose another trial with --trial"
        ) from None


def _tuned(bench: EvaluationBench, runs: Sequence[JudgedRun], trials: int, seed: int) -> Tuned:
    tunings = [bench.tuning(run) for run in runs]
    tasks = [tuning["task"] for tuning in tunings]
    first = tunings[0]
    return search_postprocessing(
        first["space"],
        first["defaults"],
        lambda points: bench.score(first["scorer"], tasks, points),
        trials=trials,
        seed=derive_seed(seed, "postprocessing"),
        told=lambda done, best: bench.say(f"tuning: {done} of {trials}, best {best:.4f}"),
    )


def _evaluation(
    folder: TrialFolder,
    plan: Plan,
    split: str,
    reports: Sequence[dict[str, Any]],
    tuned: Tuned | None,
) -> dict[str, Any]:
    """What evaluation.json keeps."""
    folds = [
        {
            "fold": report["fold"],
            "checkpoint": report["checkpoint"],
            "settings": report["settings"],
            "notes": report["notes"],
            "groups": summary(report["cases"]),
        }
        for report in reports
    ]
    found: dict[str, Any] = {
        "study": plan.study,
        "trial": folder.number,
        "split": split,
        "family": plan.family,
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    if tuned is not None:
        found["tuning"] = {
            "trials": len(tuned.trials),
            "split": "validation",
            "value": tuned.value,
            "default_value": tuned.default_value,
            "parameters": tuned.parameters,
            "seconds": round(tuned.seconds, 3),
        }
    notes = [] if folder.outcome.exists() else [_NOT_ENDED]
    if plan.folds == 1:
        del folds[0]["fold"]
        return found | folds[0] | {"notes": [*notes, *folds[0]["notes"]]}
    missing = sorted(set(range(plan.folds)) - {fold["fold"] for fold in folds})
    notes += [f"fold {fold} has no checkpoint and is left out" for fold in missing]
    groups = across_folds([fold["groups"] for fold in folds])
    return found | {"notes": notes, "groups": groups, "folds": folds}


def _remove_others(folder: Path, drawn: Sequence[str]) -> None:
    """The pictures of an earlier evaluation, which may have been of other cases."""
    for path in folder.glob("*.png"):
        if str(path.absolute()) not in drawn:
            path.unlink()
