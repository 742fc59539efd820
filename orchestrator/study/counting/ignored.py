"""Trials that count for nothing any more, because somebody says so.

A trial that has ended takes no attribute, so that the study holds this, by number.
"""

from __future__ import annotations

import optuna

from orchestrator.study.record import IGNORED


def ignored_trials(study: optuna.Study) -> dict[int, str]:
    """Who had each of them ignored, and why, by number."""
    known = study._storage.get_study_user_attrs(study._study_id).get(IGNORED, {})
    return {int(number): str(reason) for number, reason in known.items()}


def set_ignored(study: optuna.Study, number: int, reason: str | None) -> None:
    """Have a trial ignored, or with None count again."""
    known = ignored_trials(study)
    if (number in known) == (reason is not None):
        return
    if reason is None:
        del known[number]
    else:
        known[number] = reason
    study.set_user_attr(IGNORED, {str(key): value for key, value in sorted(known.items())})
