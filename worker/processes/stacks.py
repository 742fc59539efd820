"""Where the ranks of a hung attempt stand: asked of each before the group is killed.

Every rank has the interpreter write its threads' stacks at a signal, which works whatever its
Python code waits for; py-spy is asked as well where there is one and the system lets it look.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from protocol.files import write_text

_SIGNAL = signal.SIGUSR1
_ANSWER_SECONDS = 2.0  # for a process to write its stacks
_SETTLED_SECONDS = 0.1  # without another byte before an answer counts as whole
_PY_SPY_SECONDS = 10.0
_STATES = {
    psutil.STATUS_STOPPED: "it is stopped (SIGSTOP) and cannot say where it stands",
    psutil.STATUS_TRACING_STOP: "a debugger holds it, so that it cannot say where it stands",
    psutil.STATUS_DISK_SLEEP: "it waits for a device in the kernel",
}


class Stacks:
    """Files in memory, into which ranks write when they are asked; made before the fork."""

    def __init__(self, ranks: Iterable[int]) -> None:
        self._files = {rank: os.memfd_create("stacks") for rank in ranks}

    def answer(self, rank: int) -> None:
        """To be called in the rank's process; processes that it forks answer likewise."""
        faulthandler.register(_SIGNAL, self._files[rank], all_threads=True)

    def ask(self, pids: Mapping[int, int], path: Path) -> None:
        """Write what every living process of the ranks says to `path`.

        Args:
            pids: rank by process id.
        """
        by_rank = sorted(pids.items(), key=lambda item: item[1])
        told = [self._of_rank(rank, psutil.Process(pid)) for pid, rank in by_rank]
        write_text(path, "\n".join(told))

    def _of_rank(self, rank: int, process: psutil.Process) -> str:
        told = [self._of_process(f"rank {rank}", rank, process)]
        with contextlib.suppress(psutil.Error):
            told += [
                self._of_process(f"a process of rank {rank}", rank, child)
                for child in process.children(recursive=True)
            ]
        return "\n".join(told)

    def _of_process(self, name: str, rank: int, process: psutil.Process) -> str:
        head = f"==== {name}, process {process.pid}"
        try:
            state = process.status()
        except psutil.Error:
            return f"{head}: it has ended\n"
        told = f"{head}: {_STATES.get(state, state)}\n"
        if state not in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            told += self._answered(rank, process.pid)
        return told + _py_spy(process.pid)

    def _answered(self, rank: int, pid: int) -> str:
        file = self._files[rank]
        before = size = os.fstat(file).st_size
        deadline, settled = time.monotonic() + _ANSWER_SECONDS, 0.0
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, _SIGNAL)
        while time.monotonic() < deadline and not (size > before and time.monotonic() > settled):
            time.sleep(0.02)
            if (now := os.fstat(file).st_size) > size:
                size, settled = now, time.monotonic() + _SETTLED_SECONDS
        if size == before:
            return "it does not answer\n"
        return os.pread(file, size - before, before).decode(errors="replace")


def _py_spy(pid: int) -> str:
    """What py-spy says, native frames included; nothing where it is missing or may not look."""
    program = shutil.which("py-spy")
    if program is None:
        return ""
    command = [program, "dump", "--native", "--nonblocking", "--pid", str(pid)]
    try:
        said = subprocess.run(command, capture_output=True, timeout=_PY_SPY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "---- py-spy\n" + said.stdout.decode(errors="replace")
