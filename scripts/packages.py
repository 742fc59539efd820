"""Installs the pinned packages: by uv, and by pip where uv cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import uv_settings

STARTED = time.monotonic()
QUIET_SECONDS = 10  # between two lines where there is no terminal
LITTLE = 50_000_000  # bytes on a disk that is as good as full

FULL = "The disk is full, or your quota of it is used up: make room, then start again."
REASONS = {
    "No space left on device|Disk quota exceeded": FULL,
    r"NewConnectionError|ConnectTimeout|Read timed out|name resolution|Network is unreachable"
    r"|ProxyError|Connection (?:reset|refused|aborted)|ConnectionError": (
        "The package index could not be reached: check the network (or pip's proxy and index "
        "settings), then start again."
    ),
    "No matching distribution found|Could not find a version|ResolutionImpossible": (
        "A pinned package is not to be had for this Python and platform, or the pins contradict "
        "each other: name another Python in TOMOSTUDY_PYTHON, or mend constraints.txt."
    ),
    "Permission denied": "A folder is not yours to write: see the line above.",
}


class Refusal(Exception):
    """Something the user can mend, in one sentence."""


def say(line: str) -> None:
    """To standard error: standard output belongs to the command that follows."""
    print(line, file=sys.stderr, flush=True)


def elapsed() -> str:
    minutes, seconds = divmod(round(time.monotonic() - STARTED), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def install(root: Path, place: Path, extras: list[str]) -> None:
    """The packages and, as a link to the folder `root`, the project itself."""
    os.chdir(root)
    log = place / "setup.log"
    python = str(place / "bin" / "python")
    pip = [python, "-I", "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:
        # An environment that was made by hand can lack it.
        subprocess.run([python, "-I", "-m", "ensurepip"], capture_output=True)
    pip_install = [*pip, "install", "--no-input", "--no-warn-script-location"]
    pins = ["--constraint", "constraints.txt"]
    wanted = [*pins, "--editable", f".[{','.join(extras)}]" if extras else "."]

    uv = shutil.which("uv") or shutil.which("uv", path=place / "bin")
    if uv is None:
        say("  fetching uv, which installs the packages")
        run([*pip_install, "-qq", *pins, "uv"], log)
        uv = shutil.which("uv", path=place / "bin")
    pinned = Path("constraints.txt").read_text(encoding="utf-8").count("==")
    say(f"  installing the packages, {pinned} at most; torch is the largest by far")
    if uv is not None:
        options, variables = uv_settings.read(pip, uv, place)
        command = [uv, "pip", "install", "--python", python, "--compile-bytecode", *options]
        command += ["--build-constraints", "constraints.txt", *wanted]
        if run(command, log, variables, stderr=subprocess.STDOUT) == 0:
            return
        if advice(log) == FULL:
            raise Refusal(f"{end_of(log)}Installing failed. {FULL}")
    say(f"{end_of(log)}  uv could not install them; trying with pip")
    if code := run([*pip_install, *wanted], log):
        raise Refusal(f"{end_of(log)}Installing failed (pip's exit code {code}). {advice(log)}")


def run(
    command: list[str], log: Path, variables: dict[str, str] | None = None, stderr: int = 0
) -> int:
    """The exit code; a terminal sees the progress itself, else a line tells of it now and then."""
    environment = (variables or {}) | os.environ | {"PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
    terminal = sys.stderr.isatty()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, close_fds=False, stdin=subprocess.DEVNULL,
            stdout=sys.stderr if terminal else file, stderr=stderr or file,
        )  # fmt: skip
        try:
            while True:
                try:
                    return process.wait(QUIET_SECONDS)
                except subprocess.TimeoutExpired:
                    if not terminal:
                        say(f"  {elapsed()}: {last_step(log)}")
        except BaseException:
            process.kill()
            process.wait()
            raise


def lines_of(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines() or [""]


def last_step(log: Path) -> str:
    line = lines_of(log)[-1].strip()[:80] or "waiting for an answer"
    return f"{line}, compiling them" if line.startswith("Installed") else line


def end_of(log: Path) -> str:
    return "".join(f"  | {line}\n" for line in lines_of(log)[-12:] if line)


def advice(log: Path) -> str:
    """In one sentence what to do about it."""
    if shutil.disk_usage(log).free < LITTLE:
        return FULL  # uv's own words are on the terminal, not in the log
    text = "\n".join(lines_of(log))
    for pattern, sentence in REASONS.items():
        if re.search(pattern, text):
            return sentence
    return f"The end of {log} above says why; mend it, then start again."
