"""Ending one trial: a mark in the study, which decides whoever judges the trial next."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial

from orchestrator.steering.requests import Request
from protocol.errors import UserError

_MARK = "stop_asked"  # the user attribute that holds the reason


def mark(study: optuna.Study, request: Request) -> str:
    """Have the trial of a request end with what it has; the answer.

    Raises:
        UserError: there is no such trial, or it has ended.
    """
    trial = next((t for t in study.get_trials(deepcopy=False) if t.number == request.trial), None)
    if trial is None:
        raise UserError(f"there is no trial {request.trial}")
    if trial.state.is_finished():
        raise UserError(f"trial {request.trial} has ended already, as {trial.state.name}")
    if not reason_to_stop(trial):
        study._storage.set_trial_user_attr(trial._trial_id, _MARK, f"stopped by {request.reason}")
    return f"trial {request.trial} ends as pruned, with what it has"


def reason_to_stop(trial: FrozenTrial) -> str:
    """Why a trial is to end; empty where nobody asked for that."""
    return str(trial.user_attrs.get(_MARK, ""))
