"""Finding and ending the processes that an attempt of an earlier orchestrator left behind."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import time

import psutil

from protocol.doors import FORK_SERVER
from protocol.errors import UserError
from protocol.folders import TrialFolder
from protocol.script import TRIAL_VARIABLE

# Every rank is a fork of that program, which had another name in version 0.1.0.
_COMMANDS = (FORK_SERVER, "orchestrator.worker.forkserver")
_GONE_SECONDS = 10.0
_LOOK_SECONDS = 0.5  # between two looks at a process's state
SAME_SECONDS = 2.0  # by which two readings of one process's start may differ


def sweep(folder: TrialFolder) -> int:
    """End the group that `folder.attempt` records, if any of it is left; how many those were.

    What a command of the user's has started in sessions of its own is known by its environment.

    Raises:
        UserError: a process does not go, even by SIGKILL: it waits for a device in the kernel.
    """
    try:
        record = json.loads(folder.attempt.read_text())
        session, start = int(record["pid"]), float(record["since_boot"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0
    if record.get("host", socket.gethostname()) != socket.gethostname():
        return 0  # there they ended with their orchestrator; here the number is another's

    def ended() -> list[psutil.Process]:
        return end_session(session, start) + (_end_marked(folder) if folder.output.exists() else [])

    members = ended()
    deadline = time.monotonic() + _GONE_SECONDS
    while left := ended():
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in left)
            raise UserError(
                f"processes {pids} of {folder.path} do not end, even by SIGKILL: they wait for a "
                "GPU's driver, a disk or a network file system; once they are gone, type the same "
                "command again"
            )
        time.sleep(0.02)
    return len(members)


def _end_marked(folder: TrialFolder) -> list[psutil.Process]:
    """Send SIGKILL to every process that says of itself that it is of this trial."""
    mine = str(folder.path.absolute())
    marked = [process for process in psutil.process_iter() if _mark_of(process) == mine]
    return _killed(marked)


def _mark_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(TRIAL_VARIABLE)
    except (psutil.Error, OSError):
        return None  # another user's, or gone


def end_session(session: int, start: float) -> list[psutil.Process]:
    """Send SIGKILL to whoever lives of the session that `session` has led since `start`.

    Args:
        session: the process id of its leader.
        start: as `since_boot` says it.
    """
    return _killed(session_members(session, start))


def _killed(members: list[psutil.Process]) -> list[psutil.Process]:
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    return members


class StandingStill:
    """Watches whether a process is stopped (SIGSTOP, a debugger) for longer than its patience.

    Time in which nobody looked, as when everything was suspended together, does not count.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience  # seconds
        self._seconds = 0.0
        self._looked = -math.inf

    def too_long(self, pid: int | None) -> bool:
        """Whether process `pid` has been stopped at each look for that long; look often."""
        now = time.monotonic()
        since = now - self._looked
        if since < _LOOK_SECONDS:
            return False
        self._looked = now
        if pid is None or not _is_stopped(pid):
            self._seconds = 0.0
            return False
        self._seconds += min(since, 2 * _LOOK_SECONDS)
        return self._seconds > self.patience


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def session_members(session: int, start: float) -> list[psutil.Process]:
    """The live processes of the session that process `session` has led since `start`."""
    if _given_to_another(session, start):
        return []
    not_before = start - SAME_SECONDS
    return [process for process in psutil.process_iter() if _belongs(process, session, not_before)]


def since_boot(process: psutil.Process) -> float:
    """When a process began, in seconds since the system did: a clock that is set moves both."""
    return process.create_time() - psutil.boot_time()


def _given_to_another(pid: int, start: float) -> bool:
    """Whether a process that began at another time has the number now."""
    try:
        return abs(since_boot(psutil.Process(pid)) - start) > SAME_SECONDS
    except psutil.NoSuchProcess:
        return False  # the kernel gives no number anew while a session bears it


def _belongs(process: psutil.Process, session: int, not_before: float) -> bool:
    try:
        if os.getsid(process.pid) != session or process.status() == psutil.STATUS_ZOMBIE:
            return False
        command = process.cmdline()  # empty while it is dying, which can take a while
        return since_boot(process) >= not_before and (
            not command or any(name in command for name in _COMMANDS)
        )
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False
