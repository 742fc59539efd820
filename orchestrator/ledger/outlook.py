"""What is known of a study's trials for a forecast: from its record and its ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from orchestrator.ledger.account import Account
from orchestrator.ledger.forecast import Forecast, Past, Present, forecast
from orchestrator.ledger.study import Ledger
from orchestrator.ledger.trial import kept_account
from orchestrator.study.record import State, StudyRecord, TrialRecord
from protocol.messages import Event, Started, Validated
from protocol.objective import Direction, Objective


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How far a trial that has not ended is."""

    epoch: int = 0  # the last validated one
    epochs: int = 0  # of it; 0 before it began to train
    best: float | None = None  # its objective at its best epoch so far
    pace: float | None = None  # seconds an epoch, of a script's epochs without its start in them


def reached(events: Iterable[Event], objective: Objective) -> Reached:
    """How far a trial is whose events these are."""
    epoch, epochs, best = 0, 0, None
    of_script = starts = False
    seconds = []
    for event in events:
        if isinstance(event, Started):
            epochs = event.epochs
            of_script = starts = event.of_script
        elif isinstance(event, Validated):
            epoch = max(epoch, event.epoch)
            if of_script and not starts:
                seconds.append(event.seconds)
            starts = False
            value = event.metrics.get(objective.metric)
            if value is not None and objective.better(value, best):
                best = value
    pace = fmean(seconds) if seconds else None
    return Reached(epoch=epoch, epochs=epochs, best=best, pace=pace)


def outlook(
    record: StudyRecord,
    ledger: Ledger,
    running: Mapping[int, Reached],
    *,
    budget: int,
    prunes: bool,
    epochs: int | None,
) -> Forecast | None:
    """How long a study that runs will still take, as far as its files tell.

    Args:
        record: the study's.
        ledger: its.
        running: how far the trials are that run.
        budget: trials asked for.
        prunes: whether a pruner is asked.
        epochs: of a trial, over all its folds, where they are not searched and are known.
    """
    present = [
        _present(trial, ledger.trials.get(trial.number, Account()), running[trial.number])
        for trial in record.trials
        if trial.number in running
    ]
    begun = len(record.trials) - record.counts["waiting"]
    return forecast(
        past_trials(record, epochs),
        present,
        waiting=max(0, budget - begun),
        lanes=max(1, len(present)),
        prunes=prunes,
    )


def _present(trial: TrialRecord, account: Account, at: Reached) -> Present:
    left = None
    if at.epoch and at.epochs:
        pace = account.lasted / at.epoch if at.pace is None else at.pace
        left = pace * (at.epochs - at.epoch)
    return Present(seconds=account.lasted, left=left, params=trial.params)


def past_trials(record: StudyRecord, epochs: int | None) -> list[Past]:
    """The trials that have ended, as far as it is known how long they took.

    Args:
        record: the study's.
        epochs: of a trial, over all its folds, where they are not searched; None: the most that
            any came to.
    """
    ended = [trial for trial in record.trials if trial.state in ("complete", "pruned", "failed")]
    most = max((trial.epoch for trial in ended), default=0)
    found = []
    for trial in ended:
        seconds = _seconds(trial.notes)
        whole = trial.params.get("epochs", epochs or most)
        if seconds > 0:
            fraction = _fraction(trial, whole)
            loss = loss_of(trial.value, trial.state, record.direction)
            found.append(Past(seconds=seconds, fraction=fraction, params=trial.params, loss=loss))
    return found


def loss_of(value: float | None, state: State, direction: Direction) -> float | None:
    """A complete trial's objective, such that lower is better; None of others."""
    if value is None or state != "complete" or not math.isfinite(value):
        return None
    return value if direction == "minimize" else -value


def _seconds(notes: Mapping[str, Any]) -> float:
    kept = kept_account(notes)
    return 0.0 if kept is None else kept.lasted


def _fraction(trial: TrialRecord, whole: Any) -> float:
    if not isinstance(whole, int) or whole < 1:
        return 1.0 if trial.state == "complete" else 0.0
    return min(1.0, trial.epoch / whole)
