"""A storage that outlasts a locked, lost or full database: trials train on while it waits.

Every call is tried again, with growing pauses, while what stands in its way can pass by itself.
A call whose commit went through although its answer was lost is not carried out twice.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import scoped_session, sessionmaker

from orchestrator import words
from orchestrator.database.address import (
    connect_arguments,
    reason,
    redacted,
    shown,
    spelled,
    sqlite_file,
)
from orchestrator.database.exclusive import StudyInDatabase
from orchestrator.database.reading import study_attributes, trial_with, trials_in
from orchestrator.database.writing import Changes, Crossed, carry_out, created, holds
from orchestrator.troubles import primary_code
from protocol.errors import UserError, chain

log = logging.getLogger(__name__)
T = TypeVar("T")

_VERSION = "tomostudy:data_version"  # what a connection remembers of SQLite's counter
_MADE = "tomostudy:made"  # tells a trial whose making was not confirmed from another's
_BUSY_SECONDS = 5.0  # that SQLite itself waits for a lock; in between ^C is heard
_FIRST_PAUSE, _LONGEST_PAUSE, _SLICE = 0.1, 10.0, 0.2  # seconds
_ADVICE = "trials keep their last checkpoints; mend that and type the same command again"

_PASSING = {  # SQLite's primary result codes that can pass by themselves
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_PROTOCOL: "is locked by another process",
    sqlite3.SQLITE_FULL: "has no room left to grow: free some space on that disk",
    sqlite3.SQLITE_IOERR: "cannot be read or written",
}
_FULL_STATE = "53100"  # PostgreSQL's SQLSTATE of a full disk
_REPEATING_STATE = "25006"  # that of a server that only repeats another one, for the time being
_FORBIDDEN_STATE = "42501"


def obstacle(error: BaseException, url: URL) -> str | None:
    """What stands in a call's way, if it can pass by itself: `is locked by another process`."""
    causes = (cause for cause in chain(error, contexts=False) if isinstance(cause, DBAPIError))
    cause = next(causes, None)
    return None if cause is None else _obstacle(cause, url)


def _obstacle(error: DBAPIError, url: URL) -> str | None:
    if isinstance(error.orig, sqlite3.Error):
        return _PASSING.get(primary_code(error.orig))
    lines = str(error.orig).strip().splitlines()
    said = redacted(lines[0] if lines else "no reason given", url)
    state = _state(error)
    if state == _REPEATING_STATE:
        return f"takes no changes at the moment ({said})"
    # PEP 249: an OperationalError is not necessarily under the control of the programmer.
    if not error.connection_invalidated and not isinstance(
        error, OperationalError | InterfaceError
    ):
        return None
    if state == _FULL_STATE:
        return _PASSING[sqlite3.SQLITE_FULL]
    return f"cannot be reached ({said})"


def _state(error: DBAPIError) -> str | None:
    """PostgreSQL's SQLSTATE, under either driver's name."""
    state = getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None))
    return None if state is None else str(state)


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a database is waited for, and who hears of it."""

    seconds: float = 3600.0
    say: Callable[[str], None] = log.warning
    interrupted: Callable[[], bool] = _never  # ^C ends the wait


class StudyGone(UserError):
    """The study is not in its database any more, or under another number."""


class PatientStorage(RDBStorage):
    """Optuna's storage, all of whose calls wait.

    Raises, from any call:
        UserError: the wait was in vain or interrupted, or the study is not there any more.
    """

    def __init__(self, url: URL, patience: Patience, **options: Any) -> None:
        self.address = url
        self.study_id: int | None = None  # whose disappearance is told
        self._known_by: dict[str, str] = {}  # also under another number
        self.born_with: dict[str, Any] = {}  # the attributes that a new study has from the first
        self._patience = patience
        self._exhausted = False
        if sqlite_file(url) is not None:
            engine = {
                "connect_args": {"timeout": _BUSY_SECONDS},
                "pool_use_lifo": True,  # the same connection each time: `changed_elsewhere`
            }
        else:
            engine = {"connect_args": connect_arguments(url)}
        super().__init__(spelled(url), engine_kwargs=engine, **options)

    def hold(self, lock: StudyInDatabase) -> None:
        """Write from now on only while the study's lock is this process's, which takes it.

        Raises:
            StudyInUse: another process has it.
        """
        self.remove_session()
        self.engine.dispose()
        self.engine = lock.engine(**self.engine_kwargs)
        self.scoped_session = scoped_session(sessionmaker(bind=self.engine))
        self.patiently(lambda: self.engine.connect().close())

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        # Not Optuna's own, of which a kill can leave a study without its attributes.
        def make() -> int:
            ways = [
                models.StudyDirectionModel(objective=o, direction=d)
                for o, d in enumerate(directions)
            ]
            study = models.StudyModel(study_name=study_name, directions=ways)
            with _create_scoped_session(self.scoped_session) as session:
                session.add(study)
                session.flush()
                identity = int(study.study_id)
                session.add_all(
                    models.StudyUserAttributeModel(
                        study_id=identity, key=key, value_json=json.dumps(value)
                    )
                    for key, value in self.born_with.items()
                )
            return identity

        try:
            return self.patiently(make)
        except IntegrityError:
            raise optuna.exceptions.DuplicatedStudyError(study_name) from None

    def claim(self, study_id: int, key: str, value: str) -> str:
        """Set an attribute of the study unless it has it; what it is then. Safe in a race."""

        def once() -> str:
            with _create_scoped_session(self.scoped_session, True) as session:
                study = models.StudyModel.find_or_raise_by_id(study_id, session)
                find = models.StudyUserAttributeModel.find_by_study_and_key
                if find(study, key, session) is None:
                    session.add(
                        models.StudyUserAttributeModel(
                            study_id=study_id, key=key, value_json=json.dumps(value)
                        )
                    )
            return str(self.get_study_user_attrs(study_id)[key])

        return self.patiently(once)

    def names_with(self, key: str, value: str) -> list[str]:
        """The studies that have this attribute, the oldest first."""
        studies = self.get_all_studies()
        return [study.study_name for study in studies if study.user_attrs.get(key) == value]

    def changed_elsewhere(self) -> bool:
        """Whether another connection may have written since this was last asked."""
        if sqlite_file(self.address) is None:
            return True  # no other database counts for each connection what the others commit

        # At the driver's own connection: this is asked for at every look at a trial.
        try:
            with contextlib.closing(self.engine.raw_connection()) as connection:
                assert connection.dbapi_connection is not None
                cursor = connection.dbapi_connection.cursor()
                now = cursor.execute("PRAGMA data_version").fetchone()
                before = connection.info.get(_VERSION)
                connection.info[_VERSION] = now
        except (sqlite3.Error, DBAPIError):
            return True  # what follows meets the same obstacle, and waits
        return bool(now != before)

    def change(
        self, trial_id: int, changes: Changes, distributions: Mapping[str, BaseDistribution]
    ) -> None:
        """Carry out all changes of a trial, or none of them; `writing.carry_out` says how."""

        def write() -> bool:
            with _create_scoped_session(self.scoped_session) as session:
                carry_out(session, trial_id, changes, distributions)
            return True

        def written() -> bool | None:
            return True if holds(self._trial(trial_id), changes) else None

        self.patiently(write, written)

    def get_study_system_attrs(self, study_id: int, prefix: str = "") -> dict[str, Any]:
        """All of them, or those whose keys begin with `prefix`, which ends with a colon."""

        def read() -> dict[str, Any]:
            with _create_scoped_session(self.scoped_session) as session:
                return study_attributes(session, study_id, prefix)

        return self.patiently(read)

    def _create_new_trial(
        self,
        study_id: int,
        template_trial: FrozenTrial | None = None,
        distributions: Mapping[str, BaseDistribution] = MappingProxyType({}),
    ) -> FrozenTrial:
        # Not Optuna's own, which makes a second trial when the first one's confirmation is lost.
        template = template_trial or optuna.trial.create_trial(state=TrialState.RUNNING)
        mark = str(uuid.uuid4())

        def make() -> FrozenTrial:
            with _create_scoped_session(self.scoped_session) as session:
                return created(session, study_id, template, {_MADE: mark}, distributions)

        return self.patiently(make, lambda: self._made(mark))

    def _made(self, mark: str) -> FrozenTrial | None:
        attribute = models.TrialSystemAttributeModel
        with _create_scoped_session(self.scoped_session) as session:
            found = (
                session.query(attribute.trial_id)
                .filter(attribute.key == _MADE, attribute.value_json == json.dumps(mark))
                .one_or_none()
            )
        return None if found is None else self._trial(found[0])

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self.patiently(lambda: self._trial(trial_id))

    def _trial(self, trial_id: int) -> FrozenTrial:
        with _create_scoped_session(self.scoped_session) as session:
            return trial_with(session, trial_id)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        def read() -> list[FrozenTrial]:
            with _create_scoped_session(self.scoped_session) as session:
                models.StudyModel.find_or_raise_by_id(study_id, session)
                return trials_in(
                    session, study_id, above=trial_id_greater_than, among=included_trial_ids
                )

        found = self.patiently(read)
        return found if states is None else [trial for trial in found if trial.state in states]

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        try:
            self.change(trial_id, Changes.of_state(state, values), {})
        except Crossed:
            return False
        return True

    def patiently(self, call: Callable[[], T], settled: Callable[[], T | None] = lambda: None) -> T:
        """What `call` returns, when nothing stands in its way any more.

        Args:
            settled: what an earlier try returned of which only the answer was lost; None where it
                came to nothing.
        """
        outage: _Outage | None = None
        while True:
            try:
                known = settled() if outage else None
                found = call() if known is None else known
            except KeyError as error:
                self._refuse_lost_study(error)
                raise
            except Exception as error:
                problem = obstacle(error, self.address)
                if problem is None:
                    self._refuse_forbidden(error)
                    raise
                outage = outage or _Outage(time.monotonic())
                self._wait(outage, problem, error)
                continue
            if outage and outage.told:
                self._patience.say(f"{shown(self.address)} answers again{outage.lasted()}")
            self._exhausted = False
            return found

    def _wait(self, outage: _Outage, problem: str, error: Exception) -> None:
        place = f"{shown(self.address)} {problem}"
        if self._exhausted:
            raise UserError(f"{place}; {_ADVICE}") from error
        left = self._patience.seconds - outage.seconds
        if outage.tries and not outage.told:  # a connection that only went stale is back at once
            outage.told = True
            patience = words.duration(self._patience.seconds)
            self._patience.say(f"{place}; trials train on, and it is tried again for {patience}")
        if left <= 0:
            self._exhausted = True
            raise UserError(f"{place}{outage.lasted()}; {_ADVICE}") from error
        self.remove_session()
        self.engine.dispose()
        end = time.monotonic() + min(outage.pause(), left)
        while not self._patience.interrupted() and (rest := end - time.monotonic()) > 0:
            time.sleep(min(_SLICE, rest))
        if self._patience.interrupted():
            raise UserError(f"{place}, and was not waited for any longer; {_ADVICE}") from error

    def _refuse_forbidden(self, error: Exception) -> None:
        causes = (cause for cause in chain(error, contexts=False) if isinstance(cause, DBAPIError))
        if any(_state(cause) == _FORBIDDEN_STATE for cause in causes):
            told = reason(error, self.address)
            raise UserError(f"{shown(self.address)} does not allow it: {told}") from error

    def _refuse_lost_study(self, error: KeyError) -> None:
        if self.study_id is None:
            return
        with _create_scoped_session(self.scoped_session) as session:
            if session.get(models.StudyModel, self.study_id) is not None:
                return
            rows = session.query(models.StudyUserAttributeModel).filter_by(**self._known_by)
            names = [row.study.study_name for row in rows] if self._known_by else []
        place = shown(self.address)
        if names:
            raise StudyGone(
                f"the study was renamed to {names[-1]!r} in {place} while it ran, as by the "
                "dashboard, which makes a new one for that; the same command goes on with it"
            ) from error
        raise StudyGone(
            f"the study was deleted from {place} while it ran, as by the dashboard; this run ends, "
            "and what its trials left stays in their folders"
        ) from error

    def watch(self, study_id: int, key: str, value: str) -> None:
        """Tell by a sentence of its own when this study goes, which has the attribute."""
        self.study_id = study_id
        self._known_by = {"key": key, "value_json": json.dumps(value)}


@dataclass
class _Outage:
    """One time of waiting."""

    since: float
    tries: int = 0
    told: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since

    def lasted(self) -> str:
        return f" after {words.duration(self.seconds)}"

    def pause(self) -> float:
        """Seconds until the next try."""
        self.tries += 1
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.tries - 1, 16))


def _waiting(name: str) -> Callable[..., Any]:
    call = getattr(RDBStorage, name)

    @functools.wraps(call)
    def patiently(self: PatientStorage, *arguments: Any, **options: Any) -> Any:
        return self.patiently(lambda: call(self, *arguments, **options))

    return patiently


# Each of these may be carried out twice: what they set is the same after the second time.
for _name in (
    "delete_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_all_studies",
    "_set_trial_param",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial_id_from_study_id_trial_number",
    "_get_best_trial_id",
):
    setattr(PatientStorage, _name, _waiting(_name))
