"""Finds a study by its folder and reads it; its errors are what a user can act on."""

from __future__ import annotations

import difflib
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

from orchestrator.study.peek import peek
from orchestrator.study.record import StudyRecord, TrialRecord, record_of
from orchestrator.study.sqlite import UnknownLayout, read_sqlite
from protocol.errors import SettingsError
from protocol.folders import StudyFolder, TrialFolder


def require_study(folder: StudyFolder) -> None:
    """Make sure that there is such a study.

    Raises:
        SettingsError: there is none; names those that there are, the nearest first.
    """
    if folder.path.is_dir():
        return
    runs = folder.path.parent
    known = known_studies(runs)
    if not known:
        raise SettingsError(f"there is no study {folder.name!r}, nor any other, in {runs}")
    near = difflib.get_close_matches(folder.name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:10])}"
    raise SettingsError(f"there is no study {folder.name!r} in {runs}; {hint}")


def known_studies(runs: Path) -> list[str]:
    """The names of the studies in a folder of studies."""
    if not runs.is_dir():
        return []
    folders = (StudyFolder(path) for path in runs.iterdir() if path.is_dir())
    return sorted(f.name for f in folders if f.database.exists() or f.settings.exists())


def read_study(folder: StudyFolder) -> StudyRecord:
    """Read the study in `folder` from its database, or the one that its settings name.

    Raises:
        SettingsError: there is no such study, or its database cannot be read.
    """
    require_study(folder)
    url = database_of(folder)
    database = _sqlite_file(url)
    return _through_optuna(url, folder.name) if database is None else _from(database, folder.name)


def database_of(folder: StudyFolder) -> str:
    """Where the study is kept, as SQLAlchemy spells it.

    Raises:
        SettingsError: the URL names an environment variable that is not set.
    """
    url = peek(folder).url
    if url is None:
        return f"sqlite:///{folder.database.absolute()}"
    from orchestrator.study.storage import (
        database_url,  # imports Optuna, which another database needs
    )

    return database_url(folder, url)


def _sqlite_file(url: str) -> Path | None:
    prefix = "sqlite:///"
    return Path(url.removeprefix(prefix).partition("?")[0]) if url.startswith(prefix) else None


def _from(database: Path, name: str) -> StudyRecord:
    if not database.exists():
        raise SettingsError(f"the study {name!r} has not begun: there is no {database}")
    try:
        return read_sqlite(database, name)
    except UnknownLayout:
        location = f"file:{quote(str(database.absolute()))}?mode=ro&uri=true"
        return _through_optuna(f"sqlite:///{location}", name)
    except KeyError:
        raise SettingsError(f"{database} holds no study named {name!r}") from None
    except sqlite3.DatabaseError as error:
        raise SettingsError(f"{database} cannot be read: {error}") from error


def _through_optuna(url: str, name: str) -> StudyRecord:
    import optuna
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    shown = make_url(url).render_as_string(hide_password=True)
    try:
        # No tables are made and none is upgraded: looking must not change anything.
        storage = optuna.storages.RDBStorage(
            url, skip_compatibility_check=True, skip_table_creation=True
        )
        return record_of(optuna.load_study(study_name=name, storage=storage))
    except KeyError:
        raise SettingsError(f"{shown} holds no study named {name!r}") from None
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise SettingsError(f"{shown} cannot be read: {reason}") from error


def resolve_trial(folder: StudyFolder, which: str) -> TrialFolder:
    """The folder of the trial that `which` names, with a checkpoint in it.

    Raises:
        SettingsError: there is no such study or trial, or it has no checkpoint.
    """
    return with_checkpoint(folder, chosen_trial(read_study(folder), which))


def with_checkpoint(folder: StudyFolder, trial: TrialRecord) -> TrialFolder:
    """The trial's folder, if its best checkpoint is there.

    Raises:
        SettingsError: it is not; says why, as far as can be known.
    """
    chosen = folder.trial(trial.number)
    if not chosen.best.exists():
        raise SettingsError(_without_checkpoint(trial, chosen))
    return chosen


def chosen_trial(record: StudyRecord, which: str) -> TrialRecord:
    """The trial that `which` names.

    Raises:
        SettingsError: there is no such trial, or none is complete.
    """
    if which == "best":
        if record.best is None:
            raise SettingsError(_none_complete(record))
        return record.best
    if not which.isdecimal():
        raise SettingsError(f"found {which!r}, expected `best` or a trial's number", key="--trial")
    trial = record.trial(int(which))
    if trial is None:
        last = len(record.trials) - 1
        there = f"0 to {last}" if last >= 0 else "none yet"
        raise SettingsError(
            f"study {record.name!r} has no trial {which}; it has {there}", key="--trial"
        )
    return trial


def _none_complete(record: StudyRecord) -> str:
    counts = record.counts
    states = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no trials"
    return (
        f"no trial of study {record.name!r} is complete, so there is no best one ({states}); "
        "`status` says why each ended, and --trial takes a number"
    )


def _without_checkpoint(trial: TrialRecord, folder: TrialFolder) -> str:
    if trial.state in ("running", "waiting"):
        why = "it has not validated an epoch yet"
    elif trial.best_epoch:
        why = "it was removed, as `keep.best_trials` asks, or by hand"
    else:
        why = "the trial ended before it had validated an epoch"
    return f"trial {trial.number} has no checkpoint: there is no {folder.best}; {why}"


def check_study_name(name: str) -> str:
    """The name, if it can be a folder's and holds no tricks.

    Raises:
        SettingsError: it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise SettingsError(
            f"found {name!r}, expected letters, digits, `_`, `-` and `.`, "
            "at most 100, beginning with a letter, digit or `_`",
            key="--study_name",
        )
    return name
