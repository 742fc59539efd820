"""Notes in the dashboard: for a trial why it ended, for the study what it is.

Below the program's part of a note people may write their own words; these stay when the program
writes its part again, after a crash or with the next command.
"""

from __future__ import annotations

import filecmp
import importlib.util
import json
import mimetypes
import shutil
import uuid
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
from optuna.artifacts import ArtifactMeta, get_all_artifact_meta
from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX, DEFAULT_MIME_TYPE
from optuna.trial import FrozenTrial

from orchestrator.confirmation.saved import load_confirmation
from orchestrator.reporting.confirmation_note import confirmation_note
from orchestrator.reporting.hints import commands_on
from orchestrator.reporting.note_text import plain, study_note, trial_note
from orchestrator.settings.schema import Settings
from protocol.files import replacing
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Outcome, latest_plan

_HEAD = "\n\n[//]: # (ignored)\n\n"  # below the word that a trial is ignored
_BORDER = "\n\n[//]: # (your own words below this line are kept)\n"  # invisible when rendered


def annotate_trial(
    trial: optuna.Trial, study: StudyFolder, folder: TrialFolder, outcome: Outcome
) -> None:
    """Give a trial that ends its pictures and its note; safe to repeat.

    Comes before the study is told, because a finished trial takes no more pictures.
    """
    upload_pictures(trial, study, folder)
    plan = latest_plan(folder)
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
    head, marked, rest = before.rpartition(_HEAD)
    _, border, own = rest.partition(_BORDER)
    note = head + marked + text + _BORDER + (own if border else rest)
    if note != before:
        save_note(subject, note)


@dataclass(frozen=True)
class _Subject:
    """A trial of which only the note is wanted: one of Optuna's own would ask its sampler."""

    study: optuna.Study
    _trial_id: int

    @property
    def storage(self) -> Any:
        return self.study._storage


def mark_ignored(study: optuna.Study, trial: FrozenTrial, reason: str | None) -> None:
    """Say on top of a trial's note who has it ignored; with None take that away."""
    subject: Any = _Subject(study, trial._trial_id)
    before = get_note(subject)
    rest = before.rpartition(_HEAD)[2]
    head = "" if reason is None else f"**Ignored**, asked by {plain(reason)}{_HEAD}"
    if head + rest != before:
        save_note(subject, head + rest)


def upload_pictures(trial: optuna.Trial, study: StudyFolder, folder: TrialFolder) -> None:
    """Let the dashboard show every picture of the trial once, as it is now.

    Safe to repeat: a picture that is there stays, one that was drawn anew takes its place, and
    one that a kill left half-written is written again. The trial must not have been told yet,
    for Optuna takes no new artifact of a finished one.
    """
    pictures = sorted(folder.pictures.glob("*.png"))
    if not pictures:
        return
    study.artifacts.mkdir(exist_ok=True)
    known = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(trial)}
    for picture in pictures:
        identity = known.get(picture.name) or _identity(trial, picture)
        copy = study.artifacts / identity
        if not _same(picture, copy):
            with picture.open("rb") as drawn, replacing(copy) as writing:
                shutil.copyfileobj(drawn, writing)
        if picture.name not in known:
            _declare(trial, identity, picture)


def _identity(trial: optuna.Trial, picture: Path) -> str:
    """The same however often it is asked for, unlike Optuna's own, which are drawn at random.

    What a kill left behind between the copy and the database is then what the next command
    writes, instead of a file that nobody knows.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{trial.number}/{picture.name}"))


def _declare(trial: optuna.Trial, identity: str, picture: Path) -> None:
    """Say in the database what `upload_artifact` says of the files that it copies."""
    kind, encoding = mimetypes.guess_type(picture.name)
    meta = ArtifactMeta(identity, picture.name, kind or DEFAULT_MIME_TYPE, encoding)
    key, said = f"{ARTIFACTS_ATTR_PREFIX}{identity}", json.dumps(asdict(meta))
    trial.storage.set_trial_system_attr(trial._trial_id, key, said)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and filecmp.cmp(one, other, shallow=False)


def get_note(subject: optuna.Study | optuna.Trial) -> str:
    """The note of a study or trial, as Markdown; empty where there is none."""
    return str(_NOTES.get_note(subject))


def save_note(subject: optuna.Study | optuna.Trial, text: str) -> None:
    """Replace the note of a study or trial by `text`, which is Markdown."""
    _NOTES.save_note(subject, text)


def _load() -> ModuleType:
    """The dashboard's own functions for notes, without its server.

    Importing its whole package brings scikit-learn and SciPy along, which would triple the time
    that every command takes to start; of a release without this module it is imported all the same.
    """
    spec = _spec_of_notes()
    if spec is None or spec.loader is None:
        return importlib.import_module("optuna_dashboard")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _spec_of_notes() -> ModuleSpec | None:
    package = importlib.util.find_spec("optuna_dashboard")
    for folder in (package.submodule_search_locations if package else None) or ():
        file = Path(folder) / "_note.py"
        if file.is_file():
            return importlib.util.spec_from_file_location("dashboard_notes_alone", file)
    return None


_NOTES = _load()
