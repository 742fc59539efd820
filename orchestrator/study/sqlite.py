"""Reads a study straight from its SQLite file, in a few milliseconds and without Optuna.

Importing Optuna and its database layers takes most of a second, and loading a large study through
them several more; `status` has neither. Only the table layout that is known is read here: any
other goes the long way, and a test holds the two ways to the same answer.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.study.record import IGNORED, STATES, StudyRecord, TrialRecord

_LAYOUT = "v3.2.0.a"  # Optuna's name of the table layout, as its migrations count
_CONSTRAINT = "constraints:"
_IDENTITY = "tomostudy:identity"  # as in `identity`, which imports Optuna

Grouped = defaultdict[int, dict[str, Any]]


class UnknownLayout(Exception):
    """The file is a database, but its tables are not those that are read here."""


def read_sqlite(path: Path, name: str, identity: str = "") -> StudyRecord:
    """The study `name` in the file at `path`, as of one moment, also after it was renamed there.

    Raises:
        UnknownLayout: another Optuna wrote the tables.
        KeyError: the file has no such study, or none at all.
        sqlite3.DatabaseError: the file is no database, or damaged.
    """
    with _reading(path) as connection:
        _check_layout(connection)
        study = connection.execute(
            "SELECT s.study_id, d.direction FROM studies s JOIN study_directions d"
            " ON d.study_id = s.study_id WHERE s.study_name = ? AND d.objective = 0",
            (name_in(connection, name, identity),),
        ).fetchone()
        if study is None:
            raise KeyError(name)
        number, direction = study
        return StudyRecord(
            name=name,
            direction="minimize" if direction == "MINIMIZE" else "maximize",
            trials=_trials(connection, number),
            place=number,
        )


def copy_sqlite(path: Path, target: Path) -> None:
    """A copy of the file at `path` as of one moment, whoever writes to it.

    Raises:
        sqlite3.DatabaseError: the file is no database, or damaged.
    """
    with (
        contextlib.closing(opened(path)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)


def name_in(connection: sqlite3.Connection, name: str, identity: str) -> str | None:
    """What the study `name` is called in its database, by its token; None where it is not there."""
    names = [row[0] for row in connection.execute("SELECT study_name FROM studies")]
    rows = connection.execute(
        "SELECT s.study_name FROM studies s JOIN study_user_attributes a"
        " ON a.study_id = s.study_id WHERE a.key = ? AND a.value_json = ? ORDER BY s.study_id",
        (_IDENTITY, json.dumps(identity)),
    )
    own = [row[0] for row in rows]
    return name if name in own or (name in names and not own) else (own or [None])[-1]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(opened(path)) as connection:
        connection.execute("BEGIN")  # every query sees the same moment
        yield connection


def opened(path: Path, seconds: float = 10.0) -> sqlite3.Connection:
    """The file, to be read alone; whoever writes into it is waited for as long as `seconds`."""
    location = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(location, uri=True, timeout=seconds, isolation_level=None)
    try:
        connection.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # In a folder that may not be written to, the write-ahead log's index cannot be made;
        # without a log there is no writer either, and the file can be read as it lies.
        connection = sqlite3.connect(f"{location}&immutable=1", uri=True, isolation_level=None)
    return connection


def _check_layout(connection: sqlite3.Connection) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "studies" not in tables:
        raise KeyError("no study")
    if "alembic_version" not in tables:
        raise UnknownLayout("before migrations")
    versions = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
    if versions != [_LAYOUT]:
        raise UnknownLayout(str(versions))


def _trials(connection: sqlite3.Connection, study: int) -> list[TrialRecord]:
    values = _values(connection, study)
    params = _params(connection, study)
    notes = _attributes(connection, study, "trial_user_attributes", "")
    constraints = _attributes(connection, study, "trial_system_attributes", _CONSTRAINT)
    ignored = _ignored(connection, study)
    rows = connection.execute(
        "SELECT trial_id, number, state FROM trials WHERE study_id = ? ORDER BY number", (study,)
    )
    return [
        TrialRecord(
            number=number,
            state=STATES[state],
            value=values.get(trial),
            params=params[trial],
            notes=notes[trial],
            feasible=all(value <= 0 for value in constraints[trial].values()),
            ignored=ignored.get(str(number), ""),
        )
        for trial, number, state in rows
        if number is not None  # a trial gets its number in the transaction that makes it
    ]


def _values(connection: sqlite3.Connection, study: int) -> dict[int, float]:
    infinite = {"INF_POS": math.inf, "INF_NEG": -math.inf}
    rows = connection.execute(
        "SELECT v.trial_id, v.value, v.value_type FROM trial_values v"
        " JOIN trials t ON t.trial_id = v.trial_id WHERE t.study_id = ? AND v.objective = 0",
        (study,),
    )
    return {trial: infinite.get(kind, value) for trial, value, kind in rows}


def _params(connection: sqlite3.Connection, study: int) -> Grouped:
    rows = connection.execute(
        "SELECT p.trial_id, p.param_name, p.param_value, p.distribution_json FROM trial_params p"
        " JOIN trials t ON t.trial_id = p.trial_id WHERE t.study_id = ? ORDER BY p.param_id",
        (study,),
    )
    found: Grouped = defaultdict(dict)
    distributions: dict[str, dict[str, Any]] = {}
    for trial, name, value, distribution in rows:
        if distribution not in distributions:
            distributions[distribution] = json.loads(distribution)
        found[trial][name] = _external(value, distributions[distribution])
    return found


def _external(value: float, distribution: dict[str, Any]) -> Any:
    match distribution.get("name"):
        case "FloatDistribution":
            return value
        case "IntDistribution":
            return int(value)
        case "CategoricalDistribution":
            return distribution["attributes"]["choices"][int(value)]
    raise UnknownLayout(str(distribution))


def _ignored(connection: sqlite3.Connection, study: int) -> dict[str, str]:
    found = connection.execute(
        "SELECT value_json FROM study_user_attributes WHERE study_id = ? AND key = ?",
        (study, IGNORED),
    ).fetchone()
    return {} if found is None else dict(json.loads(found[0]))


def _attributes(connection: sqlite3.Connection, study: int, table: str, prefix: str) -> Grouped:
    # The prefix is compared, not matched with LIKE, for which % and _ have a meaning.
    rows = connection.execute(
        f"SELECT a.trial_id, a.key, a.value_json FROM {table} a"
        " JOIN trials t ON t.trial_id = a.trial_id"
        " WHERE t.study_id = ? AND substr(a.key, 1, ?) = ?",
        (study, len(prefix), prefix),
    )
    found: Grouped = defaultdict(dict)
    for trial, key, value in rows:
        found[trial][key] = json.loads(value)
    return found
