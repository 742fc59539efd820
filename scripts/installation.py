"""The steps of an installation: one at a time, visible, and cleaned up after a cut."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import TracebackType
from typing import IO

import pip_progress

INSTALLER = re.compile(r"\0-m\0(pip|compileall|ensurepip)\0|pip\.whl|run_module\(\"pip\"")


class Refusal(Exception):
    """Something the user can mend, in one sentence."""


def say(line: str) -> None:
    """To standard error: standard output belongs to the command that follows."""
    print(line, file=sys.stderr, flush=True)


class Lock:
    """Held by the start that installs; the kernel lets go of it even after a kill -9."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[str] | None = None

    def __enter__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.seek(0)
            holder = self.file.read().strip() or "unknown"
            say(f"Another start is setting up (process {holder}); waiting for it to finish.")
            fcntl.flock(self.file, fcntl.LOCK_EX)
        except OSError:
            return  # a file system without locks: better unguarded than not at all
        self.file.truncate(0)
        self.file.write(str(os.getpid()))
        self.file.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.file is not None:
            self.file.close()


class Installation:
    """Installs the project at `root` into the environment at `place`."""

    def __init__(self, root: Path, place: Path) -> None:
        self.root = root
        self.place = place
        self.python = place / "bin" / "python"
        self.started = time.monotonic()

    def elapsed(self) -> str:
        return pip_progress.duration(time.monotonic() - self.started)

    def remove(self) -> None:
        """Removes what an earlier start left; renamed first, so that a cut here is seen too."""
        end_leftovers(self.place)
        doomed = self.place.with_name(self.place.name + ".partial")
        if doomed.exists():
            shutil.rmtree(doomed)
        if self.place.exists():
            say("  removing what an earlier start left")
            self.place.rename(doomed)
            shutil.rmtree(doomed)

    def make(self) -> None:
        say("  making the environment")
        made = subprocess.run(
            [sys.executable, "-E", "-s", "-m", "venv", self.place], capture_output=True, text=True
        )
        if made.returncode:
            last = (made.stdout + made.stderr).strip().splitlines()[-1:] or ["no reason given"]
            raise Refusal(f"Python could not make an environment in {self.place}: {last[0]}")

    def has_pip(self) -> bool:
        """Whether the environment's pip works, if need be after putting it back."""
        if self._runs("-m", "pip", "--version"):
            return True
        return self._runs("-m", "ensurepip") and self._runs("-m", "pip", "--version")

    def _runs(self, *arguments: str) -> bool:
        command = [str(self.python), "-I", *arguments]
        return subprocess.run(command, capture_output=True).returncode == 0

    def install_packages(self, extras: list[str]) -> None:
        """The pinned packages and, as a link to this folder, the project itself."""
        with (self.root / "pyproject.toml").open("rb") as file:
            build_tools = tomllib.load(file)["build-system"]["requires"]
        # With its build tools in the environment already, pip fetches no second set for the link.
        if build_tools:
            say("  installing the build tools")
            self._pip(*build_tools)
        pinned = sum("==" in line for line in self._constraints.read_text().splitlines())
        say(f"  installing the packages, {pinned} at most; torch is the largest by far")
        target = f".[{','.join(extras)}]" if extras else "."
        self._pip("--no-build-isolation", "--editable", target)
        self._compile()

    def _compile(self) -> None:
        """On all cores, where pip uses one; without it the first start of anything is slow."""
        say("  compiling")
        folders = map(str, self.place.glob("lib/python3*/site-packages"))
        # Some packages ship templates that are no valid Python: the exit code says nothing.
        self._runs("-m", "compileall", "-q", "-q", "-j", "0", *folders)

    @property
    def _constraints(self) -> Path:
        return self.root / "constraints.txt"

    def _pip(self, *arguments: str) -> None:
        command = [
            str(self.python), "-I", "-m", "pip", "install",
            "--disable-pip-version-check", "--no-input", "--no-warn-script-location",
            "--no-compile", "--constraint", str(self._constraints), *arguments,
        ]  # fmt: skip
        log = self.place / "setup.log"
        code = pip_progress.run(command, cwd=self.root, log=log, started=self.started)
        if code:
            raise Refusal(pip_progress.explain(log, code))


def end_leftovers(place: Path) -> None:
    """Ends what a killed start left running, before it writes into the new environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended
        if arguments.startswith(f"{place}/bin/") and INSTALLER.search(arguments):
            end(int(process.name))


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.05)
            if Path(f"/proc/{pid}/cmdline").read_bytes() == b"":
                return  # a zombie writes nothing
    except OSError:
        return  # gone, or not ours to end
