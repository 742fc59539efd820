"""Cross-validation as the study sees it: one trial, several folds, one value.

A trial's folds are trained one after the other. Its value is the mean over the folds of the
objective at each fold's best epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from protocol.messages import Event, FoldFinished, Validated
from protocol.objective import Objective, ranked


def unique_epochs(events: Iterable[Event]) -> list[Validated]:
    """The validated epochs in order; of an epoch told twice, the first."""
    epochs: dict[int, Validated] = {}
    for event in events:
        if isinstance(event, Validated):
            epochs.setdefault(event.epoch, event)
    return [epochs[epoch] for epoch in sorted(epochs)]


def best_epoch(validated: Iterable[Validated], objective: Objective) -> Validated | None:
    """The epoch with the best objective; the earliest of equals."""
    best = ranked(validated, lambda epoch: epoch.metrics[objective.metric], objective.direction)
    return best[0] if best else None


def best_epochs(validated: Iterable[Validated], objective: Objective) -> list[Validated]:
    """The best epoch of every fold begun so far, by fold; without folds, of the trial."""
    by_fold: dict[int, list[Validated]] = {}
    for event in validated:
        by_fold.setdefault(event.fold, []).append(event)
    best = [best_epoch(by_fold[fold], objective) for fold in sorted(by_fold)]
    return [event for event in best if event is not None]


def mean_metrics(epochs: Sequence[Validated]) -> dict[str, float]:
    """The mean of every metric over the best epochs of the folds; none of none."""
    names = epochs[0].metrics if epochs else {}
    return {name: fmean(event.metrics[name] for event in epochs) for name in names}


def step_and_value(
    events: Iterable[Event], event: Event, objective: Objective, *, by_fold: bool
) -> tuple[int, float] | None:
    """What the pruner is to hear of one of a trial's `events`, if anything.

    Args:
        events: of the trial, as many as are known.
        event: one of them.
        objective: whose value is told.
        by_fold: folds are told rather than epochs.
    """
    match event:
        case FoldFinished() if by_fold:
            return event.fold, event.metrics[objective.metric]
        case Validated() if not by_fold:
            return event.epoch, value_so_far(events, event, objective)
    return None


def value_so_far(events: Iterable[Event], event: Validated, objective: Objective) -> float:
    """What an epoch is worth: the mean of its objective and the best ones of the folds before.

    At one epoch all trials have been through the same folds, so that these values compare.
    """
    before = (epoch for epoch in unique_epochs(events) if epoch.fold < event.fold)
    best = [epoch.metrics[objective.metric] for epoch in best_epochs(before, objective)]
    return fmean([*best, event.metrics[objective.metric]])
