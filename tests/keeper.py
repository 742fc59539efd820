"""Starts one daemon; when whoever started this is gone, ends it and all that came of it.

A Slurm daemon's jobs leave its process group and session, and outlive it. They stay descendants of
this process, which adopts what is orphaned below it (Linux, prctl(2)), so none is missed, not even
where pytest itself was killed: the lifeline is standard input, which the kernel closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def keep(how: signal.Signals, folder: Path, command: list[str]) -> None:
    """Runs `command` until standard input is at its end, then ends it with `how`, the rest at once.

    The sockets that those left below `folder` are removed.

    Raises: OSError where the system adopts no orphans, or has no such program.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
    signal.signal(signal.SIGCHLD, _reap)
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    sys.stdin.buffer.read()
    with contextlib.suppress(ProcessLookupError):
        os.kill(daemon.pid, how)
    if how != signal.SIGKILL:
        psutil.wait_procs(_below(), timeout=5)
    while below := _below():
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.02)
    for path in folder.rglob("*"):
        if path.is_socket():
            path.unlink()


def _below() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _reap(*_: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    keep(signal.Signals[sys.argv[1]], Path(sys.argv[2]), sys.argv[3:])
