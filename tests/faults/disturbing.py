"""Faults for a real study: signals to whichever of its processes, and damage to its files."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.studio import Studio, finish

_STOPPED_SECONDS = 1.0  # that a suspended process stands still
_TARGETS = ("orchestrator", "fork server", "leader", "rank", "loader", "everything")
_RUN_SECONDS = 240.0  # that a run without faults may take at most


class Disturber:
    """Runs a study to its end, and on the way lets happen what a seed says."""

    def __init__(self, studio: Studio, seed: int, faults: int) -> None:
        self._studio = studio
        self._random = random.Random(seed)
        self._left = faults
        self.counts: Counter[str] = Counter()

    def run(self) -> tuple[int, str]:
        """The last run's exit code and output."""
        while self._left > 0:
            run = self._studio.start()
            while self._left > 0 and run.poll() is None:
                time.sleep(self._random.uniform(0.05, 2.5))
                self._left -= 1
                self._strike(run)
            if run.poll() is None:
                return finish(run, timeout=_RUN_SECONDS)
            finish(run)
            if self._left > 0 and self._random.random() < 0.5:
                self._left -= 1
                self._damage()
        return self._studio.run(timeout=_RUN_SECONDS)

    def _strike(self, run: subprocess.Popen[str]) -> None:
        target = self._random.choice(_TARGETS)
        kinds = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
        number = self._random.choice(kinds)
        found = self._processes(run, target)
        if not found:
            return
        chosen = found if target == "everything" else [self._random.choice(found)]
        self.counts[f"{number.name} to {target}"] += 1
        for process in chosen:
            _send(process, number)
        if number is signal.SIGSTOP:
            time.sleep(_STOPPED_SECONDS)
            for process in chosen:
                _send(process, signal.SIGCONT)
        elif number is signal.SIGKILL and target in ("orchestrator", "everything"):
            run.wait()

    def _processes(self, run: subprocess.Popen[str], target: str) -> list[psutil.Process]:
        ours = self._studio.processes()
        ranks = {process.pid for process in self._studio.ranks()}
        server = [p for p in ours if p.ppid() == run.pid and p.pid not in ranks]
        servers = {process.pid for process in server}
        match target:
            case "orchestrator":
                return [p for p in ours if p.pid == run.pid]
            case "fork server":
                return server
            case "leader":
                return [p for p in ours if p.ppid() in servers and p.pid not in ranks]
            case "rank":
                return [p for p in ours if p.pid in ranks and p.ppid() not in ranks]
            case "loader":
                return [p for p in ours if p.ppid() in ranks]
        return ours

    def _damage(self) -> None:
        """What a power cut or a bad disk does to files while nothing runs."""
        ways: dict[str, Callable[[Path], None]] = {
            "last.pth truncated": _truncate,
            "last.pth with a flipped bit": self._flip,
            "last.pth of zeros": _zero,
            "a torn line of events.jsonl": _tear,
        }
        way = self._random.choice(list(ways))
        name = "events.jsonl" if "events" in way else "last.pth"
        files = [t.path / name for t in self._studio.folder.trials() if not t.outcome.exists()]
        files = [
            file for file in files if file.exists() and (file.parent / "previous.pth").exists()
        ]
        if files:
            ways[way](self._random.choice(files))
            self.counts[way] += 1

    def _flip(self, file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[self._random.randrange(len(content))] ^= 1 << self._random.randrange(8)
        file.write_bytes(content)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _tear(file: Path) -> None:
    with file.open("a") as stream:
        stream.write('{"event": "validated", "attempt": 0, "epo')
