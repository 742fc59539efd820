"""Notes in the dashboard: for a trial why it ended, for the study what it is.

Below the program's part of a note people may write their own words; these stay when the program
writes its part again, after a crash or with the next command.
"""

from __future__ import annotations

import optuna
from optuna_dashboard import get_note, save_note

from orchestrator.artifacts import upload_pictures
from orchestrator.commands import commands_on
from orchestrator.messages import Outcome, load_plan
from orchestrator.note_text import study_note, trial_note
from orchestrator.settings import Settings
from orchestrator.trial_folder import StudyFolder, TrialFolder

_BORDER = "\n\n[//]: # (your own words below this line are kept)\n"  # invisible when rendered


def annotate_trial(
    trial: optuna.Trial, study: StudyFolder, folder: TrialFolder, outcome: Outcome
) -> None:
    """Give a trial that ends its pictures and its note; safe to repeat.

    Comes before the study is told, because a finished trial takes no more pictures.
    """
    upload_pictures(trial, study, folder)
    plan = load_plan(folder.plan) if folder.plan.exists() else None
    _write(trial, trial_note(folder, plan, outcome))


def annotate_study(study: optuna.Study, folder: StudyFolder, settings: Settings) -> None:
    """Say what the study is and which command goes on with it; safe to repeat."""
    names = [settings.objective.metric]
    if study.metric_names != names:
        study.set_metric_names(names)  # or its plots say "Objective 0"
    _write(study, study_note(folder, settings, commands_on(folder).go_on()))


def _write(subject: optuna.Study | optuna.Trial, text: str) -> None:
    before = get_note(subject)
    _, border, own = before.partition(_BORDER)
    note = text + _BORDER + (own if border else before)
    if note != before:
        save_note(subject, note)
