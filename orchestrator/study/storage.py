"""The study's database: opened by the orchestrator alone, created whole or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings

import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.database.address import address, own_address, reason, shown
from orchestrator.database.exclusive import StudyInDatabase, knows_locks, making_tables
from orchestrator.database.patient import Patience, PatientStorage
from orchestrator.database.remembering import RememberingStorage
from orchestrator.study.identity import IDENTITY, name_at, new_identity
from orchestrator.study.sqlite import name_in, opened
from orchestrator.troubles import primary_code
from protocol.errors import SettingsError, UserError
from protocol.files import sync_folder
from protocol.folders import StudyFolder
from protocol.objective import Direction

_BUSY_SECONDS = 60.0  # that the first look at a database waits for whoever writes into it
_ADVICE = "restore it from a copy, or start anew under another --study_name"


def open_study(
    folder: StudyFolder,
    url: str | None,
    direction: Direction,
    *,
    identity: str = "",
    patience: Patience | None = None,
) -> optuna.Study:
    """The study in `folder`'s database, or at `url`, created when it is new.

    Args:
        identity: the study's own, as study.yml has it; empty for one of an earlier version, which
            is then given what its database has, or a new one.
        patience: with whatever keeps the database from answering, once it is open.

    Raises:
        UserError: the database is damaged, holds something else, or another's study.
        StudyInUse: another process works on the study, as its database says.
        SettingsError: `url` names an unset variable or a database that cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    patience = patience or Patience()
    name = folder.name
    try:
        if url is None:
            if not folder.database.exists() or _was_only_looked_for(folder):
                _refuse_lost_database(folder)
                _create_database(folder, direction, identity or new_identity())
            name = _checked_name(folder, identity)
            storage = _open_database(folder, patience)
        else:
            storage = _connect(url, patience)
            name = name_at(storage, folder.name, identity)
            if identity:
                _refuse_lost_study(folder, storage, identity)
                storage.born_with = {IDENTITY: identity}
        study = optuna.create_study(
            storage=RememberingStorage(storage),
            study_name=name,
            direction=direction,
            load_if_exists=True,
        )
        storage.study_id = study._study_id
        _take(folder, study, storage, identity, shared=url is not None)
        storage.watch(study._study_id, IDENTITY, identity_of(study))
        if knows_locks(storage.address):
            lock = StudyInDatabase(storage.address, folder.name, identity_of(study))
            storage.hold(lock)
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        place = folder.database if url is None else shown(address(url))
        told = reason(error, own_address(folder.database) if url is None else address(url))
        raise UserError(f"{place} cannot be used: {told}") from error
    return study


def check_reachable(url: str) -> None:
    """Connect to a database, and make Optuna's tables in it if need be.

    Raises:
        SettingsError: it cannot be used.
    """
    storage = _connect(url, Patience(seconds=0.0))
    storage.remove_session()
    storage.engine.dispose()


def identity_of(study: optuna.Study) -> str:
    """The token of a study that `open_study` has opened."""
    return str(study.user_attrs[IDENTITY])


def _connect(template: str, patience: Patience) -> PatientStorage:
    url = address(template)
    try:
        with making_tables(url):
            return PatientStorage(url, patience)
    except Exception as error:
        # SQLAlchemy and each driver raise their own; none of them is this program's defect.
        raise SettingsError(
            f"{template} cannot be opened: {reason(error, url)}", key="storage.url"
        ) from error


def _open_database(folder: StudyFolder, patience: Patience) -> PatientStorage:
    try:
        # Its tables are there: a file of another version must not get any beside its own.
        return PatientStorage(own_address(folder.database), patience, skip_table_creation=True)
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise UserError(f"{folder.database} is of another version of Optuna: {error}") from error


def _take(
    folder: StudyFolder,
    study: optuna.Study,
    storage: PatientStorage,
    identity: str,
    *,
    shared: bool,
) -> None:
    """Make sure that the study is this folder's; one without a token is given it.

    Raises:
        UserError: it is another's: two folders that search in one study would each take the
            other's trials for lost.
    """
    if shared and IDENTITY not in storage.get_study_user_attrs(study._study_id):
        # What an earlier version began in one folder may have one trial that has none there yet.
        _refuse_trials_of_others(folder, study, storage, most=0 if identity else 1)
    theirs = storage.claim(study._study_id, IDENTITY, identity or new_identity())
    if identity and theirs != identity:
        raise UserError(
            f"{shown(storage.address)} holds a study {study.study_name!r} that was begun from "
            f"another folder than {folder.path}; choose another --study_name, or go on with it "
            "from that folder"
        )
    if shared and not identity:
        _refuse_trials_of_others(folder, study, storage, most=1)


def _refuse_trials_of_others(
    folder: StudyFolder, study: optuna.Study, storage: PatientStorage, *, most: int
) -> None:
    trials = study.get_trials(deepcopy=False)
    begun = [trial for trial in trials if trial.state is not TrialState.WAITING]
    if len(begun) > most and not folder.trials():
        raise UserError(
            f"{shown(storage.address)} holds a study {folder.name!r} with {len(begun)} trials that "
            f"were not run from {folder.path}; choose another --study_name, or bring that folder "
            "back"
        )


def _create_database(folder: StudyFolder, direction: Direction, identity: str) -> None:
    """Make the tables and the study under a temporary name: a kill leaves no half of them."""
    partial = folder.path / ".study.db.partial"
    for leftover in folder.path.glob(".study.db.partial*"):
        leftover.unlink()
    storage = PatientStorage(own_address(partial), Patience(seconds=0.0))
    storage.born_with = {IDENTITY: identity}
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


def _refuse_lost_study(folder: StudyFolder, storage: PatientStorage, identity: str) -> None:
    if folder.trials() and not storage.names_with(IDENTITY, identity):
        raise UserError(
            f"{shown(storage.address)} does not hold the study whose trials are in {folder.path}; "
            "name the database that does, or start anew under another --study_name"
        )


def _was_only_looked_for(folder: StudyFolder) -> bool:
    """Whether the database has never held a study: Optuna makes its tables wherever it looks.

    So whoever loads a study in the instant in which it is set up leaves such a file.
    """
    if folder.trials():
        return False
    try:
        with contextlib.closing(opened(folder.database, _BUSY_SECONDS)) as connection:
            return bool(connection.execute("SELECT COUNT(*) = 0 FROM studies").fetchone()[0])
    except (sqlite3.Error, UserError):
        return False  # whatever it is, it is looked at closely next


def _checked_name(folder: StudyFolder, identity: str) -> str:
    """What the study is called in its own database, which is sound."""
    path = folder.database
    try:
        connection = opened(path, _BUSY_SECONDS)
        try:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise UserError(f"{path} is damaged ({_one_line(problem)}); {_ADVICE}")
            name = name_in(connection, folder.name, identity)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if _is_readable_later(error):
            raise UserError(f"{path} cannot be read: {error}") from error
        raise UserError(f"{path} is not a study's database ({error}); {_ADVICE}") from error
    if name is None:
        raise UserError(f"{path} holds no study {folder.name!r}; {_ADVICE}")
    return name


def _is_readable_later(error: sqlite3.DatabaseError) -> bool:
    """Whether the system stands in the way, rather than what the file holds."""
    return primary_code(error) in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_FULL,
    )


def _one_line(text: str) -> str:
    return "; ".join(line.strip(" *") for line in text.splitlines())
