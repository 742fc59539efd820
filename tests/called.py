"""Functions for a launcher to call in its other process."""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

from protocol.errors import DataError


def echo(**arguments: Any) -> dict[str, Any]:
    print("an echo is heard")
    return arguments


def environment(names: list[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names}


def state(module: str) -> dict[str, bool]:
    """Of the process that answers."""
    return {
        "imported": module in sys.modules,
        "collects": gc.isenabled(),
        "frozen": gc.get_freeze_count() > 100_000,
    }


def refuse(sentence: str, key: str) -> None:
    raise DataError(sentence, key=key)


def fail() -> None:
    raise ZeroDivisionError("not by nought")


def leave() -> None:
    os._exit(3)


def answer_unspeakably() -> dict[str, Any]:
    return {"this": object()}


def fork_and_wait(pids: str) -> None:
    """Wait for ever, in two processes."""
    child = os.fork()
    if child:
        Path(f"{pids}.partial").write_text(f"{os.getpid()} {child}")
        Path(f"{pids}.partial").rename(pids)
    time.sleep(10**6)


def touch(path: str) -> None:
    """A file that cannot be opened, deep in what comes of it."""
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ValueError("the picture could not be drawn") from error
