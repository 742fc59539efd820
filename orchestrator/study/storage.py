"""The study's database: opened by the orchestrator alone, created whole or not at all."""

from __future__ import annotations

import os
import re
import sqlite3
import warnings
from pathlib import Path

import optuna
from optuna.storages import RDBStorage

from protocol.errors import SettingsError, UserError
from protocol.files import sync_folder
from protocol.folders import StudyFolder
from protocol.objective import Direction

_BUSY_SECONDS = 60.0  # a dashboard that reads at the same time never breaks the study


def open_study(folder: StudyFolder, url: str | None, direction: Direction) -> optuna.Study:
    """The study in `folder`'s database, or at `url`, created when it is new.

    Raises:
        UserError: the database is damaged or holds something else.
        SettingsError: `url` names an unset variable or a database that cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if url is None:
        if not folder.database.exists():
            _refuse_lost_database(folder)
            _create_database(folder, direction)
        _check_database(folder)
        storage = _open_database(folder)
    else:
        storage = _connect(url)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=folder.name,
            direction=direction,
            load_if_exists=True,
        )
    except optuna.exceptions.StorageInternalError as error:
        place = url or folder.database
        raise UserError(f"{place} cannot be used: {error.__cause__ or error}") from error
    if url is not None:
        _refuse_anothers_study(folder, study, url)
    return study


def database_url(folder: StudyFolder, url: str | None) -> str:
    """The database as SQLAlchemy spells it, environment variables filled in.

    Raises:
        SettingsError: a variable is not set.
    """
    if url is None:
        return f"sqlite:///{folder.database.resolve()}"

    def value(match: re.Match[str]) -> str:
        try:
            return os.environ[match[1]]
        except KeyError:
            raise SettingsError(
                f"the environment variable {match[1]} is not set", key="storage.url"
            ) from None

    return re.sub(r"\$\{(\w+)\}", value, url)


def _connect(url: str) -> RDBStorage:
    try:
        return RDBStorage(database_url(StudyFolder(Path()), url))
    except SettingsError:
        raise
    except Exception as error:
        # SQLAlchemy and each driver raise their own; none of them is this program's defect.
        reason = str(error.__cause__ or error).splitlines()[0]
        raise SettingsError(f"{url} cannot be opened: {reason}", key="storage.url") from error


def _open_database(folder: StudyFolder) -> RDBStorage:
    engine_kwargs = {"connect_args": {"timeout": _BUSY_SECONDS}}
    try:
        return RDBStorage(database_url(folder, None), engine_kwargs=engine_kwargs)
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise UserError(f"{folder.database} is of another version of Optuna: {error}") from error


def _refuse_anothers_study(folder: StudyFolder, study: optuna.Study, url: str) -> None:
    """Two folders must not search in one study: each would take the other's trials for lost."""
    begun = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state is not optuna.trial.TrialState.WAITING
    ]
    if len(begun) > 1 and not folder.trials():  # one may have been asked for when a kill came
        raise UserError(
            f"{url} holds a study {folder.name!r} with {len(begun)} trials that were not run from "
            f"{folder.path}; choose another --study_name, or bring that folder back"
        )


def _create_database(folder: StudyFolder, direction: Direction) -> None:
    """Make the tables and the study under a temporary name: a kill leaves no half of them."""
    partial = folder.path / ".study.db.partial"
    for leftover in folder.path.glob(".study.db.partial*"):
        leftover.unlink()
    storage = RDBStorage(f"sqlite:///{partial.resolve()}")
    optuna.create_study(storage=storage, study_name=folder.name, direction=direction)
    storage.remove_session()
    storage.engine.dispose()
    connection = sqlite3.connect(partial)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    partial.replace(folder.database)
    sync_folder(folder.path)


def _refuse_lost_database(folder: StudyFolder) -> None:
    if folder.trials():
        raise UserError(
            f"{folder.database} is missing, but {folder.path} holds trials; put the database "
            "back, or start anew under another --study_name"
        )


def _check_database(folder: StudyFolder) -> None:
    path = folder.database
    advice = "restore it from a copy, or start anew under another --study_name"
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS)
        try:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise UserError(f"{path} is damaged ({_one_line(problem)}); {advice}")
            names = [row[0] for row in connection.execute("SELECT study_name FROM studies")]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if "disk I/O" in str(error) or "locked" in str(error):
            raise UserError(f"{path} cannot be read: {error}") from error
        raise UserError(f"{path} is not a study's database ({error}); {advice}") from error
    if folder.name not in names:
        raise UserError(f"{path} holds no study {folder.name!r}; {advice}")


def _one_line(text: str) -> str:
    return "; ".join(line.strip(" *") for line in text.splitlines())
