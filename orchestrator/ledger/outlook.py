"""What is known of a study's trials for a forecast: from its record and its ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orchestrator.ledger.account import Account
from orchestrator.ledger.forecast import Past
from orchestrator.ledger.trial import NOTE
from orchestrator.study.record import State, StudyRecord, TrialRecord
from protocol.objective import Direction


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
    kept = notes.get(NOTE)
    return Account.unpacked(kept).lasted if isinstance(kept, Mapping) else 0.0


def _fraction(trial: TrialRecord, whole: Any) -> float:
    if not isinstance(whole, int) or whole < 1:
        return 1.0 if trial.state == "complete" else 0.0
    return min(1.0, trial.epoch / whole)
