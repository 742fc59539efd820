"""Checkpoints: whole, and of the training that the events tell of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from orchestrator.verifying.findings import Report
from protocol.folders import RunFolder, StudyFolder, TrialFolder
from protocol.messages import Event, Finished, FoldFinished, Validated, load_outcome, read_events

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
    places = [(trial, run) for trial in trials for run in _runs(folder.trial(trial.number))]
    files = [str(file) for _, run in places for file in sorted(run.path.glob("*.pth"))]
    found = digests(files) if files else {}
    for trial, run in places:
        for file in sorted(run.path.glob("*.pth")):
            report.looked["checkpoint"] += 1
            answer, place = found[str(file)], file.relative_to(folder.path)
            if answer["problem"]:
                report.add(place, answer["problem"])
                continue
            told = _told(folder.trial(trial.number), run, file.name, trial.state)
            if told == {""}:
                report.cannot("checkpoints of version 0.2 and earlier have no digest in the events")
            elif told and answer["digest"] not in told:
                report.add(place, "is not of the training that events.jsonl tells of")


def _runs(trial: TrialFolder) -> Iterator[RunFolder]:
    yield trial
    for path in sorted(trial.path.glob("fold_*")):
        yield RunFolder(path)


def _told(trial: TrialFolder, run: RunFolder, name: str, state: TrialState) -> set[str]:
    """The digests that a file may have; none where the events do not say."""
    fold = int(run.path.name.removeprefix("fold_")) if run != trial else None
    events = [event for event in read_events(trial.events) if _is_of(event, fold)]
    outcome = load_outcome(trial.outcome)
    if name == run.best.name:
        best = [event for event in events if isinstance(event, Validated) and event.best]
        if outcome is not None and fold is None:
            best = [event for event in best if event.epoch == outcome.best_epoch]
        return {event.best_digest for event in best}
    if name == run.last.name and state is TrialState.COMPLETE:
        return {e.digest for e in events if isinstance(e, Finished | FoldFinished)}
    return set()


def _is_of(event: Event, fold: int | None) -> bool:
    if fold is None:
        return isinstance(event, Validated | Finished)
    return isinstance(event, Validated | FoldFinished) and event.fold == fold
