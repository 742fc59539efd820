"""A user's command as a process: started, looked after, asked to stop, and ended for sure."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import psutil

_SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER
_DEATH_SIGNAL = 1  # and PR_SET_PDEATHSIG
# What passes no signal on to the program that it runs.
_WRAPPERS = ("bash", "conda", "dash", "fish", "ksh", "micromamba", "sh", "tcsh", "zsh")
_MEANT_FOR_IT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LIBC = ctypes.CDLL(None)


class NotFound(Exception):
    """There is no such program, or it cannot be run."""


class Child:
    """One process of the command, whose output goes where this process's goes.

    It stays in this process's session, and ends with it. What it starts comes to this process when
    it is orphaned, also from sessions of its own, and is ended with it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        workdir: str,
        environment: Mapping[str, str],
        asked_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start it.

        Args:
            command: its words.
            workdir: where it runs.
            environment: all of it.
            asked_by: the signal by which it is asked to end.

        Raises:
            NotFound: it cannot be.
        """
        adopt_orphans()
        parent = os.getpid()

        def in_child() -> None:
            # Nothing but system calls: another thread may hold any lock of this process. A job of
            # a cluster has some signals mean nothing to our own processes, nor to the command.
            for number in (*_MEANT_FOR_IT, asked_by):
                signal.signal(number, signal.SIG_DFL)
            if sys.platform == "linux":
                _LIBC.prctl(_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        try:
            self._process = subprocess.Popen(
                command,
                cwd=workdir,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                preexec_fn=in_child,
            )
        except (OSError, ValueError) as error:
            raise NotFound(f"{command[0]}: {getattr(error, 'strerror', None) or error}") from error
        self._end = os.pidfd_open(self._process.pid)
        self._asked_by = asked_by
        self._asked: float | None = None

    def wait(self, seconds: float) -> int | None:
        """Its exit code once it has ended, negative for a signal; None after `seconds`."""
        select.select([self._end], [], [], seconds)
        return self._process.poll()

    def ask(self) -> None:
        """Ask it once, politely, to end."""
        if self._asked is None:
            self._asked = time.monotonic()
            for process in self._addressees():
                with contextlib.suppress(psutil.Error):
                    process.send_signal(self._asked_by)

    def asked_for(self) -> float:
        """Seconds since it was asked to end; 0 before."""
        return 0.0 if self._asked is None else time.monotonic() - self._asked

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        end_descendants()
        self._process.wait()

    def _addressees(self) -> list[psutil.Process]:
        """The program itself: what stands behind shells, which keep a signal to themselves."""
        with contextlib.suppress(psutil.Error):
            found = [psutil.Process(self._process.pid)]
            while any(process.name() in _WRAPPERS and process.children() for process in found):
                found = [
                    below
                    for process in found
                    for below in (
                        process.children() or [process]
                        if process.name() in _WRAPPERS
                        else [process]
                    )
                ]
            return found
        return []


def adopt_orphans() -> None:
    """Have the kernel give this process what its descendants leave behind."""
    if sys.platform == "linux":
        _LIBC.prctl(_SUBREAPER, 1)


def end_descendants() -> None:
    """End everything that this process or its descendants have started."""
    for process in _below(psutil.Process()):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
        return found
    except psutil.Error:
        return []
