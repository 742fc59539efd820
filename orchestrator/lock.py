"""One orchestrator a study: a lock file that names its holder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.errors import StudyInUse


class StudyLock:
    """Holds runs/<study>/lock; the kernel lets go of it however the holder ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            StudyInUse: another process holds it; the message names it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 4096).decode(errors="replace")
            os.close(descriptor)
            raise StudyInUse(_in_use(self._path, holder)) from None
        record = {"pid": os.getpid(), "host": socket.gethostname(), "start": time.time()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(record) + "\n").encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _in_use(path: Path, holder: str) -> str:
    study = path.parent.name
    try:
        record = json.loads(holder)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["start"]))
        who = f"process {record['pid']} on {record['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"study {study!r} is in use by {who}; wait for it or stop it there, "
        "or choose another --study_name"
    )
