"""A study opened so that looking changes nothing: its database is copied first."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage

from orchestrator.database.address import own_address, spelled, sqlite_file
from orchestrator.study.find import database_of, opened_to_read, require_study
from orchestrator.study.peek import peek
from orchestrator.study.sqlite import copy_sqlite
from protocol.errors import SettingsError, UserError
from protocol.folders import StudyFolder


@contextlib.contextmanager
def opened_copy(folder: StudyFolder) -> Iterator[optuna.Study]:
    """The study in `folder` as it is at this moment; a copy of the folder may have another name.

    Raises:
        SettingsError: there is no such study.
        UserError: its database cannot be read.
    """
    require_study(folder)
    url = database_of(folder)
    file = sqlite_file(url)
    if file is None:
        yield opened_to_read(url, folder.name, peek(folder).identity)
        return
    with tempfile.TemporaryDirectory(prefix="tomostudy-") as place:
        storage = _copied(folder, file, Path(place) / "study.db")
        names = optuna.get_all_study_names(storage)
        if folder.name not in names and len(names) != 1:
            raise SettingsError(f"{file} holds no study {folder.name!r}")
        name = folder.name if folder.name in names else names[0]
        try:
            yield optuna.load_study(study_name=name, storage=storage)
        finally:
            storage.engine.dispose()


def _copied(folder: StudyFolder, file: Path, target: Path) -> RDBStorage:
    if not file.exists():
        raise SettingsError(f"the study {folder.name!r} has not begun: there is no {file}")
    try:
        copy_sqlite(file, target)
        return RDBStorage(spelled(own_address(target)))
    except sqlite3.DatabaseError as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise UserError(f"{file} is of another version of Optuna: {error}") from error
