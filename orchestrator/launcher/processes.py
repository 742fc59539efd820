"""Finding and ending the processes that an attempt of an earlier orchestrator left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import psutil

from protocol.doors import FORK_SERVER
from protocol.folders import TrialFolder

# Every rank is a fork of that program, which had another name in version 0.1.0.
_COMMANDS = (FORK_SERVER, "orchestrator.worker.forkserver")
_GONE_SECONDS = 10.0
_CLOCK_SECONDS = 2.0  # by which a start time may seem to move when the system's clock is set


def sweep(folder: TrialFolder) -> int:
    """End the group that `folder.attempt` records, if any of it is left; how many those were.

    Raises:
        RuntimeError: a process does not go, even by SIGKILL.
    """
    try:
        record = json.loads(folder.attempt.read_text())
        session, start = int(record["pid"]), float(record["start"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0
    members = session_members(session, start)
    deadline = time.monotonic() + _GONE_SECONDS
    left = members
    while left:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in left)
            raise RuntimeError(f"processes {pids} of {folder.path} do not end, even by SIGKILL")
        time.sleep(0.02)
        left = session_members(session, start)
    return len(members)


def session_members(session: int, start: float) -> list[psutil.Process]:
    """The live processes of the session that process `session` has led since `start`."""
    if _given_to_another(session, start):
        return []
    not_before = start - _CLOCK_SECONDS
    return [process for process in psutil.process_iter() if _belongs(process, session, not_before)]


def _given_to_another(pid: int, start: float) -> bool:
    """Whether a process that began at another time has the number now."""
    try:
        return abs(psutil.Process(pid).create_time() - start) > _CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return False  # the kernel gives no number anew while a session bears it


def _belongs(process: psutil.Process, session: int, not_before: float) -> bool:
    try:
        if os.getsid(process.pid) != session or process.status() == psutil.STATUS_ZOMBIE:
            return False
        command = process.cmdline()  # empty while it is dying, which can take a while
        return process.create_time() >= not_before and (
            not command or any(name in command for name in _COMMANDS)
        )
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False
