"""Having a trial ignored, and count again: in the study, in its note, and in `best`."""

from __future__ import annotations

import optuna

from orchestrator.reporting.notes import mark_ignored
from orchestrator.steering.requests import Request
from orchestrator.study.counting.ignored import set_ignored
from orchestrator.study.ranking import point_to_best
from protocol.errors import UserError
from protocol.folders import StudyFolder


def ignore(folder: StudyFolder, study: optuna.Study, request: Request) -> str:
    """Have the trial of a request ignored, or with `again` no more; the answer.

    Raises:
        UserError: there is no such trial.
    """
    number = request.trial
    trial = next((t for t in study.get_trials(deepcopy=False) if t.number == number), None)
    if trial is None or number is None:
        raise UserError(f"there is no trial {number}")
    reason = None if request.again else request.reason
    set_ignored(study, number, reason)
    mark_ignored(study, trial, reason)
    point_to_best(folder, study)
    return f"trial {number} counts" if request.again else f"trial {number} is ignored"
