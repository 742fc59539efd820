"""Notes in the dashboard: for a trial why it ended, for the study what it is.

Below the program's part of a note people may write their own words; these stay when the program
writes its part again, after a crash or with the next command.
"""

from __future__ import annotations

import optuna

from orchestrator.artifacts import upload_pictures
from orchestrator.commands import commands_on
from orchestrator.confirmation.note import confirmation_note
from orchestrator.confirmation.saved import load_confirmation
from orchestrator.dashboard_notes import get_note, save_note
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
    write_note(trial, trial_note(folder, plan, outcome))


def annotate_study(study: optuna.Study, folder: StudyFolder, settings: Settings) -> None:
    """Say what the study is and which command goes on with it; safe to repeat."""
    name_values(study, settings.objective.metric)
    text = study_note(folder, settings, commands_on(folder).go_on())
    confirmed = load_confirmation(folder)
    write_note(study, text if confirmed is None else f"{text}\n\n{confirmation_note(confirmed)}")


def name_values(study: optuna.Study, metric: str) -> None:
    """Let the dashboard call the trials' values by their name."""
    if study.metric_names != [metric]:
        study.set_metric_names([metric])  # or its plots say "Objective 0"


def write_note(subject: optuna.Study | optuna.Trial, text: str) -> None:
    """Replace the program's part of a note, and keep what people wrote below it."""
    before = get_note(subject)
    _, border, own = before.partition(_BORDER)
    note = text + _BORDER + (own if border else before)
    if note != before:
        save_note(subject, note)
