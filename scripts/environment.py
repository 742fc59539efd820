"""Makes the project's Python environment, repairs it and keeps it up to date.

    environment.py ready   …   exit code 0 if the environment can be used as it is
    environment.py install …   makes it so, and shows how far it has come (on standard error)

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

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from installation import Installation, Lock, Refusal, say

RECORD = "tomostudy.json"  # in the environment: whose it is, and of which version


class Action(Enum):
    """What has to be done before the environment can be used."""

    NOTHING = "nothing"
    MAKE = "make"
    MAKE_ANEW = "make anew"
    UPDATE = "update"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a start asks for."""

    root: Path  # the project
    place: Path  # the environment's folder
    extra: str  # of pyproject.toml, or empty
    elsewhere: bool  # the user named the place
    interpreter: str  # the one the user named, or empty

    @property
    def python(self) -> Path:
        return self.place / "bin" / "python"

    @property
    def version(self) -> str:
        """Changes whenever something else would be installed."""
        digest = hashlib.sha256()
        for name in ("pyproject.toml", "constraints.txt"):
            digest.update(read_text(self.root / name).encode() + b"\0")
        return digest.hexdigest()


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{path} cannot be read ({error.strerror}).") from None


# ---------------------------------------------------------------------------- looking


def decide(request: Request) -> Action:
    """The table at the top of this file."""
    if not request.place.exists() or (request.place.is_dir() and not any(request.place.iterdir())):
        return Action.MAKE
    record = read_record(request.place)
    if record is None:
        return decide_on_strange(request)
    if record.get("state") != "complete":
        return Action.MAKE_ANEW
    return decide_on_ours(request, record)


def decide_on_strange(request: Request) -> Action:
    works = python_of(request) is not None
    if request.elsewhere:
        return Action.NOTHING if works else Action.REFUSE  # never remove what is not ours
    if works:
        return Action.UPDATE
    return Action.MAKE_ANEW if (request.place / "pyvenv.cfg").exists() else Action.REFUSE


def decide_on_ours(request: Request, record: dict[str, Any]) -> Action:
    if record.get("root") != str(request.root):
        return decide_on_strange(request) if request.elsewhere else Action.MAKE_ANEW
    if python_of(request) != record.get("python"):
        return Action.MAKE_ANEW
    if request.interpreter and not made_with_the_named(request):
        return Action.MAKE_ANEW
    covered = not request.extra or request.extra in record.get("extras", [])
    return Action.NOTHING if covered and record.get("version") == request.version else Action.UPDATE


def made_with_the_named(request: Request) -> bool:
    """Whether the environment stands on the interpreter that the user named."""
    # `install` runs under the named one itself, which sees through a launcher script.
    named = {Path(request.interpreter).resolve(), Path(sys.executable).resolve()}
    return request.python.resolve() in named


def read_record(place: Path) -> dict[str, Any] | None:
    """What an earlier start wrote about the environment; None if it is none of ours."""
    try:
        found = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def python_of(request: Request) -> str | None:
    """The version of the environment's Python, None if it does not start."""
    if Path(sys.executable).parent.parent.resolve() == request.place:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [request.python, "-E", "-s", "-S", "-c", ask],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


# ---------------------------------------------------------------------------- doing


def install(request: Request) -> None:
    """Brings the environment to what the request asks for, one start at a time."""
    with Lock(request.place.with_name(request.place.name + ".lock")):
        action = decide(request)
        if action is Action.REFUSE:
            raise Refusal(refusal(request))
        if action is Action.NOTHING:
            return
        installation = Installation(request.root, request.place)
        if action is Action.UPDATE and not installation.has_pip():
            action = Action.MAKE_ANEW
        if action is Action.UPDATE:
            update(request, installation)
        else:
            make(request, installation)
        say(f"Ready after {installation.elapsed()}.")


def make(request: Request, installation: Installation) -> None:
    say(f"Setting up, this once, with Python {platform.python_version()}: {request.place}")
    extras = wanted_extras(request)
    installation.remove()
    write_record(request, state="installing", extras=extras)
    installation.make()
    installation.install_packages(extras)
    write_record(request, state="complete", extras=extras)


def update(request: Request, installation: Installation) -> None:
    say(f"Bringing the environment up to date: {request.place}")
    extras = wanted_extras(request)
    before = read_record(request.place)
    if before:
        write_record(request, state="installing", extras=extras)
    try:
        installation.install_packages(extras)
    except Refusal:
        # pip gave up in good order: what was there still works, and can be updated later.
        if before:
            save_record(request.place, before)
        raise
    write_record(request, state="complete", extras=extras)


def wanted_extras(request: Request) -> list[str]:
    """Those of this start and of the earlier ones, so that two scripts do not undo each other."""
    earlier = (read_record(request.place) or {}).get("extras", [])
    return sorted({*earlier, request.extra} - {""})


def write_record(request: Request, *, state: str, extras: list[str]) -> None:
    """Written before the first package and after the last, so a cut in between is seen."""
    record = {
        "state": state,
        "root": str(request.root),
        "python": python_of(request),
        "extras": extras,
        "version": request.version,
    }
    save_record(request.place, record)


def save_record(place: Path, record: dict[str, Any]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    temporary = place / f"{RECORD}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(place / RECORD)


def refusal(request: Request) -> str:
    if request.elsewhere:
        return (
            f"TOMOSTUDY_VENV names {request.place}, which is neither a working Python environment "
            "nor an empty place to make one in."
        )
    return (
        f"{request.place} is in the way: it is not a Python environment; "
        "move it, or name another place in TOMOSTUDY_VENV."
    )


def parse(arguments: list[str]) -> tuple[str, Request]:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["ready", "install"])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--extra", default="")
    parser.add_argument("--interpreter", default="")
    parser.add_argument("--elsewhere", action="store_true")
    options = parser.parse_args(arguments)
    return options.command, Request(
        root=options.root,
        place=options.venv.resolve(),
        extra=options.extra,
        elsewhere=options.elsewhere,
        interpreter=options.interpreter,
    )


def main() -> int:
    command, request = parse(sys.argv[1:])
    try:
        if command == "ready":
            return 0 if decide(request) is Action.NOTHING else 1
        install(request)
    except Refusal as refused:
        print(refused, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the next start sets up again.", file=sys.stderr)
        return 130
    except OSError as error:
        print(
            f"Setting up failed at {error.filename or request.place}: {error.strerror or error}. "
            "TOMOSTUDY_VENV can name another place for the environment.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
