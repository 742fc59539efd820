"""Finds a study by its folder and reads it; its errors are what a user can act on."""

from __future__ import annotations

import difflib
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.study.peek import peek
from orchestrator.study.record import StudyRecord, TrialRecord, record_of
from orchestrator.study.sqlite import UnknownLayout, read_sqlite
from orchestrator.troubles import trouble_of
from protocol.errors import SettingsError, UserError
from protocol.folders import StudyFolder, TrialFolder

if TYPE_CHECKING:
    from optuna import Study
    from sqlalchemy.engine import URL


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
    return sorted(
        folder.name
        for folder in folders
        if folder.name[0] != "." and (folder.database.exists() or folder.settings.exists())
    )


def read_study(folder: StudyFolder) -> StudyRecord:
    """Read the study in `folder` from its database, or the one that its settings name.

    Raises:
        SettingsError: there is no such study, or its database cannot be read.
    """
    require_study(folder)
    known = peek(folder)
    if known.url is None:
        return _from(folder.database, folder.name, known.identity)
    # Optuna and SQLAlchemy are imported for another database alone.
    from orchestrator.database.address import address, sqlite_file

    url = address(known.url)
    file = sqlite_file(url)
    if file is not None:
        return _from(file, folder.name, known.identity)
    return _through_optuna(url, folder.name, known.identity)


def database_of(folder: StudyFolder) -> URL:
    """Where the study is kept.

    Raises:
        SettingsError: the URL names an environment variable that is not set.
    """
    from orchestrator.database.address import address, own_address

    url = peek(folder).url
    return own_address(folder.database) if url is None else address(url)


def _from(database: Path, name: str, identity: str) -> StudyRecord:
    try:
        if not database.exists():
            raise SettingsError(f"the study {name!r} has not begun: there is no {database}")
        return read_sqlite(database, name, identity)
    except UnknownLayout:
        from orchestrator.database.address import own_address

        return _through_optuna(own_address(database), name, identity)
    except KeyError:
        raise SettingsError(f"{database} holds no study named {name!r}") from None
    except OSError as error:
        raise SettingsError(str(trouble_of(error) or error)) from error
    except sqlite3.DatabaseError as error:
        raise SettingsError(f"{database} cannot be read: {error}") from error


def _through_optuna(url: URL, name: str, identity: str) -> StudyRecord:
    return record_of(opened_to_read(url, name, identity))


def opened_to_read(url: URL, name: str, identity: str) -> Study:
    """A study, opened by Optuna in such a way that looking changes nothing.

    Raises:
        SettingsError: it is not there, or cannot be read.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    from orchestrator.database.address import reason, shown
    from orchestrator.database.patient import Patience, PatientStorage
    from orchestrator.study.identity import name_at

    try:
        # No tables are made and none is upgraded.
        storage = PatientStorage(
            url, Patience(seconds=0.0), skip_compatibility_check=True, skip_table_creation=True
        )
        found = name_at(storage, name, identity)
        return optuna.load_study(study_name=found, storage=storage)
    except KeyError:
        raise SettingsError(f"{shown(url)} holds no study named {name!r}") from None
    except (
        optuna.exceptions.StorageInternalError,
        SQLAlchemyError,
        ImportError,
        UserError,
    ) as error:
        raise SettingsError(f"{shown(url)} cannot be read: {reason(error, url)}") from error


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
    if chosen.output.exists():
        raise SettingsError(
            f"the model of trial {trial.number} is its script's, which alone knows how it is "
            f"loaded; its files are in {chosen.output}"
        )
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
