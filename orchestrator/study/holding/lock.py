"""One orchestrator a study: a lock file that names its holder, a claim, the database's lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from orchestrator import words
from orchestrator.launcher.processes import SAME_SECONDS, since_boot
from orchestrator.study.holding.claim import Claim, dead_elsewhere, this_process
from orchestrator.study.peek import peek
from protocol.errors import StudyInUse
from protocol.folders import StudyFolder

if TYPE_CHECKING:
    from orchestrator.database.exclusive import StudyInDatabase


class StudyLock:
    """Holds runs/<study>/lock; the kernel lets go of it however the holder ends.

    Args:
        path: that file.
        say: tells people a sentence.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self._path = path
        self._descriptor = -1
        self._claim = Claim(
            claim_of(path), this_process(), lambda other: _held_by(path, other), say
        )

    def __enter__(self) -> Self:
        """Take the lock; the folder is made if need be.

        Raises:
            StudyInUse: another process holds it; the message names it.
        """
        while (descriptor := self._locked()) is None:
            pass
        try:
            self._claim.__enter__()
        except BaseException:
            os.close(descriptor)
            raise
        record = {
            **this_process(),
            "start": time.time(),
            "since_boot": since_boot(psutil.Process()),
            "steered": True,
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(record) + "\n").encode(), 0)
        self._descriptor = descriptor
        return self

    def _locked(self) -> int | None:
        """The file, locked; None where its holder took it away between opening and locking it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the folder went meanwhile
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 4096).decode(errors="replace")
            os.close(descriptor)
            raise StudyInUse(_in_use(self._path, holder)) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                return descriptor
        os.close(descriptor)
        return None

    def check(self) -> None:
        """To be called often.

        Raises:
            StudyInUse: another host has taken the study over, as this one gave no sign of life.
        """
        if not self._claim.holds:
            raise StudyInUse(
                f"study {self._path.parent.name!r} was taken over from another host, because this "
                "one gave no sign of life; this run ends"
            )

    def __exit__(self, *_: object) -> None:
        self._claim.__exit__()
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _held_by(path: Path, record: dict[str, Any]) -> StudyInUse:
    return StudyInUse(_in_use(path, json.dumps({"start": record.get("time"), **record})))


def _in_use(path: Path, holder: str) -> str:
    study = path.parent.name
    try:
        record = json.loads(holder)
        who = words.process(record["pid"], record["host"], record["start"], record.get("job"))
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"study {study!r} is in use by {who}; wait for it or stop it there, "
        "or choose another --study_name"
    )


def claim_of(lock: Path) -> Path:
    """The file beside a lock by which its holder is known on other hosts."""
    return StudyFolder(lock.parent).holder


@dataclass(frozen=True)
class Holder:
    """The process that works on a study."""

    pid: int
    host: str
    start: float  # when it took the lock, in seconds since the epoch
    since_boot: float | None = None  # when the process began, by a clock that nobody sets
    job: str | None = None  # of a cluster, where it is one
    steered: bool = False  # takes every request up sooner or later


def live_holder(lock: Path) -> Holder | None:
    """Who holds the lock; None when nobody does, or when its holder is dead.

    A holder on another host cannot be looked at from here and counts as alive.
    """
    try:
        content = json.loads(lock.read_text())
        holder = Holder(
            int(content["pid"]),
            str(content["host"]),
            float(content["start"]),
            content.get("since_boot"),  # which version 0.2 did not say
            content.get("job"),
            content.get("steered", False),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never taken, given back, or being written at this moment
    return holder if holder.host != socket.gethostname() or _alive(holder) else None


def living_holder(lock: Path, say: Callable[[str], None]) -> Holder | None:
    """The same; whether one on another host lives is found out, by waiting for a sign if need be.

    Args:
        lock: the file.
        say: tells people a sentence.
    """
    holder = live_holder(lock)
    if holder is None or holder.host == socket.gethostname():
        return holder
    return None if dead_elsewhere(claim_of(lock), say) else holder


def _alive(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.pid)
        return _is_the_same(process, holder) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_the_same(process: psutil.Process, holder: Holder) -> bool:
    """Whether a process is the one that took the lock: process ids come round again."""
    if holder.since_boot is None:
        return process.create_time() <= holder.start + 1.0
    return abs(since_boot(process) - holder.since_boot) <= SAME_SECONDS


# Where the study is kept in a database that knows locks of its own.


def refuse_holder_elsewhere(folder: StudyFolder, url: str | None = None) -> None:
    """Make sure that nobody works on the study in `folder` from another machine or folder.

    Args:
        folder: the study's.
        url: where its database is now, if that is not what the folder says.

    Raises:
        StudyInUse: somebody does; names process and host.
        SettingsError: its database cannot be asked.
    """
    lock = _lock_in_database(folder, url)
    if lock is None:
        return
    holder = lock.holder()
    if holder is not None:
        raise lock.in_use(holder)


def holder_of(folder: StudyFolder) -> Holder | None:
    """Who works on the study, by its lock file and its database; None when nobody does.

    Raises:
        SettingsError: its database cannot be asked.
    """
    lock = _lock_in_database(folder)
    working = None if lock is None else lock.holder()
    if working is None:
        return live_holder(folder.lock)
    return Holder(working.pid, working.host, working.start)


def _lock_in_database(folder: StudyFolder, now: str | None = None) -> StudyInDatabase | None:
    known = peek(folder)
    template = now or known.url
    if template is None or not known.identity:
        return None
    from orchestrator.database.address import address
    from orchestrator.database.exclusive import StudyInDatabase, knows_locks

    url = address(template)
    return StudyInDatabase(url, folder.name, known.identity) if knows_locks(url) else None
