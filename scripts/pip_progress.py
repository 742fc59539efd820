"""Runs pip and shows how far it has come: its own bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

QUIET_SECONDS = 10.0  # between two plain lines
TERMINAL_QUIET_SECONDS = 2.0  # pip says nothing while it unpacks: then we do
UNITS = {"bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}

DOWNLOAD = re.compile(r"(?:Downloading|Using cached) (\S+) \(([\d.]+) (bytes|kB|MB|GB)\)")
UNPACK = re.compile(r"Installing collected packages: (.*)")
WIPE = b"\r\x1b[K"  # clears the terminal's current line
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

REASONS = [
    ("No space left on device", "The disk is full: make room, then start again."),
    ("Disk quota exceeded", "The disk quota is used up: make room, then start again."),
    (
        r"NewConnectionError|ConnectTimeout|Read timed out|name resolution|Network is unreachable"
        r"|ProxyError|Connection (?:reset|refused|aborted)|ConnectionError",
        "The package index could not be reached: check the network (or pip's proxy and index "
        "settings), then start again.",
    ),
    (
        "No matching distribution found|Could not find a version|ResolutionImpossible",
        "A pinned package is not to be had for this Python and platform, or the pins contradict "
        "each other: name another Python in TOMOSTUDY_PYTHON, or mend constraints.txt.",
    ),
    ("Permission denied", "A folder is not yours to write: see the line above."),
]


class Progress:
    """What pip's output so far says."""

    def __init__(self, place: Path, started: float) -> None:
        self.place = place
        self.started = started
        self.installed_before = self._installed()
        self.downloads = 0
        self.bytes = 0.0
        self.to_unpack = 0

    def read(self, line: str) -> None:
        if (found := DOWNLOAD.search(line)) and not found[1].endswith(".metadata"):
            self.downloads += 1
            self.bytes += float(found[2]) * UNITS[found[3]]
        elif found := UNPACK.search(line):
            self.to_unpack = found[1].count(",") + 1

    def __str__(self) -> str:
        elapsed = duration(time.monotonic() - self.started)
        if self.to_unpack:
            # An update replaces packages, so the count can stand still or even fall.
            unpacked = max(0, self._installed() - self.installed_before)
            return f"  {elapsed}: {unpacked} of {self.to_unpack} packages unpacked"
        if self.downloads:
            size = (
                f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e8 else f"{self.bytes / 1e6:.1f} MB"
            )
            return f"  {elapsed}: {self.downloads} packages fetched, {size}"
        return f"  {elapsed}: finding out what is needed"

    def _installed(self) -> int:
        return sum(1 for _ in self.place.glob("lib/python3*/site-packages/*.dist-info"))


class Screen:
    """Standard error, because standard output belongs to the command that follows."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.terminal = sys.stderr.isatty()
        self.shown = time.monotonic()
        self.own_line = False  # the terminal's current line is ours, to be wiped

    def pip_said(self, output: bytes) -> None:
        if self.terminal:
            self._write((WIPE if self.own_line else b"") + output)
            self.own_line = False

    def tick(self) -> None:
        quiet = TERMINAL_QUIET_SECONDS if self.terminal else QUIET_SECONDS
        if time.monotonic() - self.shown < (1.0 if self.own_line else quiet):
            return
        line = str(self.progress).encode()
        self._write(WIPE + line if self.terminal else line + b"\n")
        self.own_line = self.terminal

    def close(self) -> None:
        if self.own_line:
            self._write(WIPE)

    def _write(self, output: bytes) -> None:
        sys.stderr.buffer.write(output)
        sys.stderr.buffer.flush()
        self.shown = time.monotonic()


def run(command: list[str], *, cwd: Path, log: Path, started: float) -> int:
    """pip's exit code; what it printed is in `log`, its warnings nowhere else."""
    progress = Progress(log.parent, started)
    screen = Screen(progress)
    environment = {**os.environ, "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
    if screen.terminal:
        environment |= {"FORCE_COLOR": "1", "COLUMNS": str(shutil.get_terminal_size().columns)}
    with log.open("wb", buffering=0) as file:
        pip = subprocess.Popen(
            command, cwd=cwd, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file,
        )  # fmt: skip
        try:
            follow(pip, file, progress, screen)
            return pip.wait()
        except BaseException:
            pip.kill()
            pip.wait()
            raise


def follow(
    pip: subprocess.Popen[bytes], log: IO[bytes], progress: Progress, screen: Screen
) -> None:
    """Reads pip's output to its end, showing it or what it amounts to."""
    assert pip.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pip.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(timeout=0.5):
                chunk = os.read(pip.stdout.fileno(), 65536)
                if not chunk:
                    break
                screen.pip_said(chunk)
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    text = ESCAPE.sub("", line.decode(errors="replace")).rsplit("\r", 1)[-1]
                    log.write(text.encode() + b"\n")
                    progress.read(text)
            screen.tick()
    screen.close()


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def explain(log: Path, code: int) -> str:
    """The end of pip's output, and in one sentence what to do about it."""
    text = log.read_text(encoding="utf-8", errors="replace")
    end = "\n".join(f"  | {line}" for line in text.splitlines()[-12:])
    advice = f"The end of {log} above says why; mend it, then start again."
    for pattern, sentence in REASONS:
        if re.search(pattern, text):
            advice = sentence
            break
    return f"{end}\nInstalling the packages failed (pip's exit code {code}). {advice}"
