"""A study opened so that looking changes nothing: its database is copied first."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL

from orchestrator.study.find import require_study
from orchestrator.study.peek import peek
from orchestrator.study.sqlite import copy_sqlite
from orchestrator.study.storage import database_url
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
    with contextlib.ExitStack() as stack:
        url = peek(folder).url
        if url is not None:
            # No tables are made and none is upgraded: looking must not change anything.
            storage = RDBStorage(
                database_url(folder, url), skip_compatibility_check=True, skip_table_creation=True
            )
        else:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="tomostudy-"))
            storage = _copied(folder, Path(place) / "study.db")
            stack.callback(storage.engine.dispose)
        names = optuna.get_all_study_names(storage)
        if folder.name not in names and len(names) != 1:
            raise SettingsError(f"{folder.database} holds no study {folder.name!r}")
        name = folder.name if folder.name in names else names[0]
        yield optuna.load_study(study_name=name, storage=storage)


def _copied(folder: StudyFolder, target: Path) -> RDBStorage:
    if not folder.database.exists():
        raise SettingsError(
            f"the study {folder.name!r} has not begun: there is no {folder.database}"
        )
    try:
        copy_sqlite(folder.database, target)
        return RDBStorage(URL.create("sqlite", database=str(target)).render_as_string())
    except sqlite3.DatabaseError as error:
        raise UserError(f"{folder.database} cannot be read: {error}") from error
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise UserError(f"{folder.database} is of another version of Optuna: {error}") from error
