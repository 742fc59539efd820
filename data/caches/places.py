"""Where what is computed from a data set may be kept, and what tells its files from others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from protocol.recipe import FREE

FOLDER = ".cache"  # in the data set's

CachePlace = Annotated[
    Path | None,
    FREE,
    Field(
        description="where what is computed from the data is kept; if not given `.cache` in "
        "`root`, or the user's cache folder where `root` may not be written to"
    ),
]


def cache_places(root: Path, given: Path | None) -> tuple[Path, ...]:
    """The folders to be tried: the one that is asked for, or the data set's and the user's."""
    return (given,) if given else (root / FOLDER, user_cache())


def user_cache() -> Path:
    """Where this user's programs keep what they can make anew."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path("~/.cache").expanduser()
    return base / "tomostudy"


def obstacle(folder: Path) -> str | None:
    """Why nothing can be kept in a folder, which is made if need be; None if something can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder} cannot be made ({error.strerror or error})"
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    return f"{folder} may not be written to"


def fingerprint(path: Path, name: str | None = None) -> list[str | int]:
    """A file's place, size and time of change: reading all of it would take as long as using it.

    Args:
        path: the file.
        name: stands for its place, where the same file may lie elsewhere.
    """
    status = path.stat()
    return [str(path.absolute()) if name is None else name, status.st_size, status.st_mtime_ns]
