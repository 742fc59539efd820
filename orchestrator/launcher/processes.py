"""Finding and ending the processes that an attempt of an earlier orchestrator left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import psutil

from orchestrator.trial_folder import TrialFolder

_COMMAND = "orchestrator.worker.forkserver"  # every rank is a fork of that program
_GONE_SECONDS = 10.0


def sweep(folder: TrialFolder) -> int:
    """End the group that `folder.attempt` records, if any of it is left; how many those were.

    Raises:
        RuntimeError: a process does not go, even by SIGKILL.
    """
    try:
        record = json.loads(folder.attempt.read_text())
        session, start = int(record["pid"]), float(record["start"])
    except (FileNotFoundError, ValueError, KeyError):
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
    """The live processes of the session that `session` led since `start` (seconds, epoch)."""
    return [process for process in psutil.process_iter() if _belongs(process, session, start - 1.0)]


def _belongs(process: psutil.Process, session: int, not_before: float) -> bool:
    try:
        return (
            os.getsid(process.pid) == session
            and process.status() != psutil.STATUS_ZOMBIE
            and process.create_time() >= not_before
            and _COMMAND in process.cmdline()
        )
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False
