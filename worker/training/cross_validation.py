"""A cross-validated trial: its folds one after the other, each a training of its own.

A fold that is done has its event; a later attempt passes over it and goes on within the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from protocol.files import partial
from protocol.folders import TrialFolder
from protocol.messages import Finished, FoldFinished, Plan, append_event, read_events
from protocol.objective import ranked
from worker.ranks.group import Group
from worker.ranks.trial import open_trial
from worker.training.checkpoint import digest
from worker.training.train import Training


def train_folds(folder: TrialFolder, plan: Plan, group: Group, tick: Callable[[], None]) -> None:
    """Train every fold that is not done yet, and tell what they come to.

    Raises:
        Divergence, StopAgreed: as from `Training.run`; the folds before stay done.
    """
    done: list[int] = group.from_first([event.fold for event in finished_folds(folder)])
    if group.first and not done:
        _point_best_to(folder, 0)
    for fold in range(plan.folds):
        if fold not in done:
            Training(open_trial(folder, plan, group, tick, fold)).run()
        if group.first:
            point_to_best_fold(folder, plan, finished_folds(folder))
    if group.first:
        append_event(folder.events, _finished(plan, finished_folds(folder)))


def finished_folds(folder: TrialFolder) -> list[FoldFinished]:
    """Every fold that is done, by number."""
    events = [event for event in read_events(folder.events) if isinstance(event, FoldFinished)]
    return sorted({event.fold: event for event in reversed(events)}.values(), key=lambda e: e.fold)


def point_to_best_fold(folder: TrialFolder, plan: Plan, finished: Sequence[FoldFinished]) -> None:
    """Let the trial's `best.pth` lead to that of its best fold so far."""
    _point_best_to(folder, _best(plan, finished).fold)


def _point_best_to(folder: TrialFolder, fold: int) -> None:
    place = folder.fold(fold)
    temporary = partial(folder.best)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(Path(place.path.name) / place.best.name)
    temporary.replace(folder.best)


def _best(plan: Plan, finished: Sequence[FoldFinished]) -> FoldFinished:
    """The fold with the best objective; the first of equals."""
    metric, direction = plan.objective.metric, plan.objective.direction
    return ranked(finished, lambda event: event.metrics[metric], direction)[0]


def _finished(plan: Plan, finished: Sequence[FoldFinished]) -> Finished:
    return Finished(
        attempt=plan.attempt,
        epoch=finished[-1].epoch,
        step=finished[-1].step,
        early=any(event.early for event in finished),
        best_epoch=_best(plan, finished).best_epoch,
        metrics={
            name: fmean(event.metrics[name] for event in finished) for name in finished[0].metrics
        },
        digest=digest([event.digest for event in finished]),
        best_digest=_best(plan, finished).best_digest,
        best_lost=any(event.best_lost for event in finished),
    )
