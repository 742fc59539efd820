"""Makes the project's Python environment, repairs it and keeps it up to date.

    environment.py ready   EXTRA   exit code 0 if the environment can be used as it is
    environment.py install EXTRA   makes it so, and shows how far it has come (on standard error)

Run by scripts/setup.sh with any Python of at least 3.11; needs the standard library alone.

What is found at the place           .venv of the project     TOMOSTUDY_VENV
nothing, or an empty folder          made                     made
ours, its installation cut short     made anew                made anew
ours, of this version                used                     used
ours, of another version             updated                  updated
ours, of another Python              made anew                made anew
ours, of another copy of the project made anew                used
somebody else's, with a Python       adopted: updated once    used
anything else                        refused                  refused
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import packages
from packages import Refusal, say

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = os.environ.get("TOMOSTUDY_VENV", "")  # the place that the user named
PLACE = Path(ELSEWHERE or ROOT / ".venv").resolve()
PYTHON = PLACE / "bin" / "python"
NAMED = shutil.which(os.environ.get("TOMOSTUDY_PYTHON", "")) or ""  # the Python that the user named
RECORD = PLACE / "tomostudy.json"  # whose the environment is, and of which version

Action = Literal["nothing", "make", "update", "refuse"]


def decide(extra: str) -> Action:
    """The table at the top of this file."""
    if not PLACE.exists() or (PLACE.is_dir() and not any(PLACE.iterdir())):
        return "make"
    record = read_record()
    if record is not None and record.get("state") != "complete":
        return "make"
    if record is None or (ELSEWHERE and record.get("root") != str(ROOT)):
        return decide_on_strange()
    if record.get("root") != str(ROOT) or record.get("python") != python_version():
        return "make"
    # A launcher script that was named is known by its own path alone.
    if NAMED not in ("", record.get("named")) and Path(NAMED).resolve() != PYTHON.resolve():
        return "make"
    covered = {extra} <= {"", *record.get("extras", [])}
    return "nothing" if covered and record.get("version") == version() else "update"


def decide_on_strange() -> Action:
    works = python_version() is not None
    if ELSEWHERE:
        return "nothing" if works else "refuse"  # never change what is not ours
    if works:
        return "update"
    return "make" if (PLACE / "pyvenv.cfg").exists() else "refuse"


def python_version() -> str | None:
    """Of the environment's Python; None if it does not start."""
    if Path(sys.executable).parent.parent.resolve() == PLACE:
        return "{}.{}".format(*sys.version_info)
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    command = [str(PYTHON), "-E", "-s", "-S", "-c", ask]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def version() -> str:
    """Changes whenever something else would be installed."""
    files = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join(files)).hexdigest()


def read_record() -> dict[str, Any] | None:
    """What an earlier start wrote about the environment; None if it is none of ours."""
    try:
        return dict(json.loads(RECORD.read_text(encoding="utf-8")))
    except OSError:
        return None
    except (ValueError, TypeError):
        return {}  # cut short while it was written


def write_record(record: dict[str, Any]) -> None:
    RECORD.write_text(json.dumps(record, indent=1), encoding="utf-8")


@contextmanager
def one_start_at_a_time() -> Iterator[None]:
    """The kernel lets go of the lock when its holders have ended, even by a kill -9."""
    path = PLACE.with_name(PLACE.name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        # What installs packages holds it too: where it outlives a killed start, it is waited for.
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            say(f"Another start is setting up (process {file.read()}); waiting for it to finish.")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: better unguarded than not at all
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def install(extra: str) -> None:
    """Brings the environment to what is wanted; the record shows whether it was cut short."""
    action = decide(extra)
    if action == "nothing":
        return
    if action == "refuse":
        raise Refusal(refusal())
    before = read_record() or {}
    # With those of earlier starts, so that two scripts do not undo each other.
    extras = sorted({*before.get("extras", []), extra} - {""})
    unfinished = {"state": "installing", "extras": extras}
    if action == "make":
        say(f"Setting up, this once, with Python {platform.python_version()}: {PLACE}")
        clear()
        write_record(unfinished)
        make()
    else:
        say(f"Bringing the environment up to date: {PLACE}")
        if before:
            write_record(unfinished)
    try:
        packages.install(ROOT, PLACE, extras)
    except Refusal:
        if action == "update" and before:
            write_record(before)  # what was there still works, and can be updated later
        raise
    of_this_version = {
        "root": str(ROOT),
        "python": python_version(),
        "named": NAMED or before.get("named", ""),
        "version": version(),
    }
    write_record(unfinished | of_this_version | {"state": "complete"})
    say(f"Ready after {packages.elapsed()}.")


def clear() -> None:
    """An empty place; the old one is renamed first, so that a cut here is seen too."""
    doomed = PLACE.with_name(PLACE.name + ".partial")
    if doomed.exists():
        shutil.rmtree(doomed)
    if PLACE.exists():
        say("  removing what an earlier start left")
        PLACE.rename(doomed)
        shutil.rmtree(doomed)
    PLACE.mkdir()


def make() -> None:
    say("  making the environment")
    command = [sys.executable, "-E", "-s", "-m", "venv", str(PLACE)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        last = (made.stdout + made.stderr).strip().splitlines()[-1:] or ["no reason given"]
        raise Refusal(f"Python could not make an environment in {PLACE}: {last[0]}")


def refusal() -> str:
    if ELSEWHERE:
        return (
            f"TOMOSTUDY_VENV names {PLACE}, which is neither a working Python environment "
            "nor an empty place to make one in."
        )
    return (
        f"{PLACE} is in the way: it is not a Python environment; "
        "move it, or name another place in TOMOSTUDY_VENV."
    )


def main(command: str, extra: str) -> int:
    try:
        if command == "ready":
            return 0 if decide(extra) == "nothing" else 1
        with one_start_at_a_time():
            install(extra)
    except Refusal as refused:
        say(str(refused))
        return 2
    except KeyboardInterrupt:
        say("\nInterrupted; the next start sets up again.")
        return 130
    except OSError as error:
        say(
            f"Setting up failed at {error.filename or PLACE}: {error.strerror or error}. "
            "TOMOSTUDY_VENV can name another place for the environment."
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
