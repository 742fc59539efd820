"""The dashboard's own functions for notes, without its server.

Importing its package brings scikit-learn and SciPy along, which would triple the time that every
command takes to start.
"""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import optuna


def get_note(subject: optuna.Study | optuna.Trial) -> str:
    """The note of a study or trial, as Markdown; empty where there is none."""
    return str(_NOTES.get_note(subject))


def save_note(subject: optuna.Study | optuna.Trial, text: str) -> None:
    """Replace the note of a study or trial by `text`, which is Markdown."""
    _NOTES.save_note(subject, text)


def _load() -> ModuleType:
    """The package's module of notes alone; of a release that has none, the whole package."""
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
