"""Checkpoints: whole, and of the training that the events tell of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from orchestrator.verifying.findings import Report
from protocol.folders import RunFolder, StudyFolder
from protocol.messages import (
    Event,
    Finished,
    FoldFinished,
    Outcome,
    Started,
    Stopped,
    Validated,
    load_outcome,
    read_events,
)

Digests = Callable[[list[str]], dict[str, dict[str, Any]]]  # of files, as a call answers


def check_checkpoints(
    report: Report, folder: StudyFolder, trials: list[FrozenTrial], digests: Digests
) -> None:
    """Read every checkpoint to its end, and compare its digest with those that were told.

    Args:
        report: what does not fit is added to it.
        folder: the study's.
        trials: as its database has them.
        digests: has files read where torch is.
    """
    files = {
        trial.number: [
            (run, sorted(run.path.glob("*.pth"))) for run in folder.trial(trial.number).runs()
        ]
        for trial in trials
    }
    paths = [str(path) for runs in files.values() for _, found in runs for path in found]
    answers = digests(paths) if paths else {}
    for trial in trials:
        place = folder.trial(trial.number)
        events, outcome = read_events(place.events), load_outcome(place.outcome)
        for run, found in files[trial.number]:
            fold = None if run == place else int(run.path.name.removeprefix("fold_"))
            own = [event for event in events if _is_of(event, fold)]
            for path in found:
                told = _told(own, outcome if fold is None else None, run, path, trial.state)
                _check(report, path.relative_to(folder.path), answers[str(path)], told)


def _check(report: Report, place: Path, answer: dict[str, Any], told: set[str]) -> None:
    report.looked["checkpoint"] += 1
    if answer["problem"]:
        report.add(place, answer["problem"])
    elif told == {""}:
        report.cannot("checkpoints of version 0.2 and earlier have no digest in the events")
    elif told and answer["digest"] not in told:
        report.add(place, "is not of the training that events.jsonl tells of")


def _told(
    events: Sequence[Event],
    outcome: Outcome | None,
    run: RunFolder,
    path: Path,
    state: TrialState,
) -> set[str]:
    """The digests that a run's file may have; none where the events do not say."""
    if path == run.best:
        best = [event for event in events if isinstance(event, Validated) and event.best]
        if outcome is not None:
            best = [event for event in best if event.epoch == outcome.best_epoch]
        return {event.best_digest for event in best}
    last = [event for event in events if isinstance(event, Finished | FoldFinished | Stopped)]
    if path == run.last and state.is_finished() and last:
        # A later attempt that was killed may have saved what no event tells of.
        return {last[-1].digest} if last[-1].attempt == events[-1].attempt else set()
    return set()


def _is_of(event: Event, fold: int | None) -> bool:
    if fold is None:
        return isinstance(event, Started | Validated | Finished | Stopped)
    return isinstance(event, Validated | FoldFinished) and event.fold == fold
