"""Starting over: a study of which no trial is complete makes way for one of the same name.

Its trials go first and study.yml last, so that a kill in between leaves a study that can be gone
on with, or discarded by the same command. A study that is deleted goes with its folder: first from
a database that others share, then out of sight at once, then from the disk.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import optuna

from orchestrator.database.address import address
from orchestrator.database.exclusive import StudyInDatabase, knows_locks
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
    refuse_jobs(folder)
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


def refuse_jobs(folder: StudyFolder) -> None:
    """Make sure that no trial may still run in a cluster's jobs.

    Raises:
        SettingsError: some may.
    """
    if any(path.name.isdigit() for path in folder.jobs.glob("*")):
        raise SettingsError(
            f"trials of study {folder.name!r} may still run in jobs of a cluster; end them first "
            f"by `run --study_name {folder.name} --cancel`"
        )


def _delete_elsewhere(folder: StudyFolder) -> None:
    """From a database that is shared: the study that is this folder's, by its token alone.

    Raises:
        StudyInUse: somebody works on it.
    """
    known = peek(folder)
    if known.url is None or not known.identity:
        return
    storage = PatientStorage(address(known.url), Patience(seconds=0.0))
    try:
        if knows_locks(storage.address):
            storage.hold(StudyInDatabase(storage.address, folder.name, known.identity))
        for name in storage.names_with(IDENTITY, known.identity):
            with contextlib.suppress(KeyError):
                optuna.delete_study(study_name=name, storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def delete(folder: StudyFolder) -> None:
    """Delete a study, whose lock is held, for good.

    Raises:
        StudyInUse: somebody works on it, as its database says.
        SettingsError: its rows in a shared database cannot be told from another's.
    """
    known = peek(folder)
    if known.url is not None and not known.identity:
        raise SettingsError(
            f"study {folder.name!r} was begun by a version that gave studies no token, so that its "
            "rows in a shared database cannot be told from another's; delete it there by hand"
        )
    _delete_elsewhere(folder)
    folder.path.rename(_deleted(folder))
    sweep_deleted(folder)


def sweep_deleted(folder: StudyFolder) -> bool:
    """Remove what a kill left of a study that was deleted; whether anything was left."""
    left = _deleted(folder).is_dir()
    shutil.rmtree(_deleted(folder), ignore_errors=True)
    return left


def _deleted(folder: StudyFolder) -> Path:
    return folder.path.with_name(f".{folder.name}.deleted")
