"""One orchestrator a study, wherever it runs: an advisory lock in PostgreSQL, beside the lock file.

A lock file keeps out whoever sees the same folder through a file system that keeps locks. The
database is what all orchestrators of a study have in common.

The lock belongs to a connection, and the orchestrator has a single one, with which it writes. So
who has lost the lock has lost what it writes with, and a new connection takes the lock before
anything else. By then, too, all is decided that the lost one had begun: PostgreSQL ends a session's
transaction before it lets go of its locks (documentation of version 15, 13.3.5).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import psutil
from sqlalchemy import NullPool, create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from orchestrator import words
from orchestrator.database.address import connect_arguments, reason, shown, spelled
from protocol.errors import SettingsError, StudyInUse, UserError

_TABLES = "tables"  # what is locked while Optuna's tables are made
_LINGER_SECONDS, _PAUSE = 5.0, 0.1  # that the server may take to see that a session's client died
_LONGEST_NAME = 63  # bytes of an application's name that PostgreSQL keeps
# The server notices within about a minute when the machine of a session is gone.
_KEEPALIVE = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}


def knows_locks(url: URL) -> bool:
    """Whether a database has the locks that this module takes."""
    return url.get_backend_name() == "postgresql"


@dataclass(frozen=True)
class Working:
    """The orchestrator that has a study's lock, as it calls itself in pg_stat_activity."""

    pid: int
    host: str
    start: float  # of the process, in whole seconds since the epoch

    @classmethod
    def here(cls) -> Self:
        """This process."""
        host = re.sub(r"[^\w.-]", "_", socket.gethostname(), flags=re.ASCII)
        return cls(os.getpid(), host, int(psutil.Process().create_time()))

    @property
    def name(self) -> str:
        return f"tomostudy {self.pid} {int(self.start)} {self.host}"[:_LONGEST_NAME]

    @classmethod
    def named(cls, name: str) -> Self | None:
        """Who calls itself so; None for anything but an orchestrator."""
        found = re.fullmatch(r"tomostudy (\d+) (\d+) (\S+)", name)
        return found and cls(int(found[1]), found[3], float(found[2]))


class StudyInDatabase:
    """A study's lock in the database at `url`."""

    def __init__(self, url: URL, study: str, identity: str) -> None:
        self._url, self._study, self._identity = url, study, identity
        self._had = False

    def engine(self, **options: Any) -> Engine:
        """An engine of one connection, which has the lock.

        Raises, when it connects:
            StudyInUse: another process has the lock; names it.
            UserError: another process has taken it since this engine had it.
        """
        engine = create_engine(spelled(self._url), pool_size=1, max_overflow=0, **options)
        event.listen(engine, "connect", self._take)
        return engine

    def holder(self) -> Working | None:
        """Who works on the study now; None where nobody does.

        Raises:
            SettingsError: the database cannot be asked.
        """
        try:
            with _connected(self._url) as connection:
                found = _holding(connection.connection.cursor(), self._identity)
        except (SQLAlchemyError, ImportError) as error:
            told = reason(error, self._url)
            raise SettingsError(f"{shown(self._url)} cannot be read: {told}") from error
        return found and found[1]

    def in_use(self, holder: Working | None) -> StudyInUse:
        """What is told to everybody else while `holder` works on the study."""
        return StudyInUse(
            f"study {self._study!r} is in use by {_who(holder)}, as {shown(self._url)} says; "
            "wait for it or stop it there, or choose another --study_name"
        )

    def _take(self, connection: Any, _: object) -> None:
        """To be called with each new connection of the driver's own kind."""
        try:
            cursor = connection.cursor()
            for key, value in {**_KEEPALIVE, "application_name": Working.here().name}.items():
                cursor.execute(f"SELECT set_config('{key}', '{value}', false)")
            self._wait_for_lock(connection, cursor)
            self._had = True
        except BaseException:
            connection.close()
            raise

    def _wait_for_lock(self, connection: Any, cursor: Any) -> None:
        deadline = time.monotonic() + _LINGER_SECONDS
        while not _took(cursor, self._identity):
            found = _holding(cursor, self._identity)
            if found is not None and found[1] == Working.here():
                # A connection that broke on this side alone: the server has not seen it yet.
                cursor.execute(f"SELECT pg_terminate_backend({found[0]})")
            if time.monotonic() > deadline:
                raise self._refusal(found and found[1])
            connection.commit()
            time.sleep(_PAUSE)
        connection.commit()

    def _refusal(self, holder: Working | None) -> Exception:
        if not self._had:
            return self.in_use(holder)
        return UserError(
            f"study {self._study!r} was taken over by {_who(holder)} while {shown(self._url)} "
            "could not be reached from here; its trials go on there"
        )


@contextlib.contextmanager
def making_tables(url: URL) -> Iterator[None]:
    """Of all who find a database empty at the same moment, one after the other makes its tables.

    Raises:
        SQLAlchemyError: the database cannot be reached.
    """
    if not knows_locks(url):
        yield
        return
    with _connected(url) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_key(_TABLES)})")
        yield


@contextlib.contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    """A connection for one question."""
    arguments = connect_arguments(url)
    engine = create_engine(spelled(url), poolclass=NullPool, connect_args=arguments)
    with engine.connect() as connection:
        yield connection


def _took(cursor: Any, identity: str) -> bool:
    cursor.execute(f"SELECT pg_try_advisory_lock({_key(identity)})")
    return bool(cursor.fetchone()[0])


def _holding(cursor: Any, identity: str) -> tuple[int, Working | None] | None:
    """The server's process that has the lock, and on whose behalf."""
    high, low = divmod(_key(identity) % 2**64, 2**32)
    cursor.execute(
        "SELECT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
        f" WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        f" AND classid::bigint = {high} AND objid::bigint = {low} AND datname = current_database()"
    )
    found = cursor.fetchone()
    return found and (int(found[0]), Working.named(found[1]))


def _key(of: str) -> int:
    """One of the 2⁶⁴ numbers that PostgreSQL locks."""
    digest = hashlib.sha256(f"tomostudy {of}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def _who(holder: Working | None) -> str:
    if holder is None:
        return "another process"
    return words.process(holder.pid, holder.host, holder.start)
