"""Starting over: a study of which no trial is complete makes way for one of the same name.

Its trials go first and study.yml last, so that a kill in between leaves a study that can be gone
on with, or discarded by the same command.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import optuna

from orchestrator.database.address import address
from orchestrator.database.patient import Patience, PatientStorage
from orchestrator.study.find import read_study
from orchestrator.study.identity import IDENTITY
from orchestrator.study.peek import peek
from protocol.errors import SettingsError
from protocol.folders import StudyFolder

_KEPT = ("lock", "holder", "stop", "orchestrator.log")


def may_be_discarded(folder: StudyFolder) -> bool:
    """Whether a study was begun here of which no trial is complete."""
    return folder.settings.exists() and _complete(folder) == 0


def discard(folder: StudyFolder) -> int:
    """Take away what a first start left in `folder`, whose lock is held; how many trials it had.

    Raises:
        SettingsError: a trial is complete, or the database cannot be read.
    """
    if not folder.settings.exists():
        return 0
    complete = _complete(folder)
    if complete:
        raise SettingsError(
            f"{complete} of the trials of study {folder.name!r} are complete, so it is not "
            f"discarded; choose another --study_name, or remove {folder.path} yourself",
            key="--restart",
        )
    if any(path.name.isdigit() for path in folder.jobs.glob("*")):
        raise SettingsError(
            f"trials of study {folder.name!r} may still run in jobs of a cluster, so it is not "
            "discarded; end them first by --cancel",
            key="--restart",
        )
    trials = folder.trials()
    for trial in trials:
        _put_away(folder, trial.path)
    _delete_elsewhere(folder)
    for path in sorted(folder.path.iterdir()):
        if path.name not in _KEPT and path not in (folder.settings, _discarded(folder)):
            _put_away(folder, path)
    _put_away(folder, folder.settings)
    sweep_discarded(folder)
    return len(trials)


def sweep_discarded(folder: StudyFolder) -> None:
    """Remove what a kill left of a study that was discarded."""
    shutil.rmtree(_discarded(folder), ignore_errors=True)


def _discarded(folder: StudyFolder) -> Path:
    return folder.path / ".discarded"


def _put_away(folder: StudyFolder, path: Path) -> None:
    """Out of sight at once, whatever its size."""
    place = _discarded(folder)
    place.mkdir(exist_ok=True)
    path.rename(place / path.name)


def _complete(folder: StudyFolder) -> int:
    if peek(folder).url is None and not folder.database.exists():
        return 0
    try:
        return read_study(folder).counts["complete"]
    except SettingsError as error:
        if "holds no study" in str(error):
            return 0
        raise


def _delete_elsewhere(folder: StudyFolder) -> None:
    """From a database that is shared: the study that is this folder's, by its token alone."""
    known = peek(folder)
    if known.url is None or not known.identity:
        return
    storage = PatientStorage(address(known.url), Patience(seconds=0.0))
    for name in storage.names_with(IDENTITY, known.identity):
        with contextlib.suppress(KeyError):
            optuna.delete_study(study_name=name, storage=storage)
