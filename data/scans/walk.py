"""Which files below a folder count: the one walk of all that reads a user's folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import DataError

_NOT_DATA = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information")


def files_below(folder: Path) -> Iterator[Path]:
    """The files below `folder`, by name; links to folders are followed, each folder once.

    Left out are hidden files and folders, among them trash and caches. Links that lead nowhere
    are given out, so that they can be counted.

    Raises:
        DataError: a folder may not be read, so that what it holds would be missed in silence.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if _counts(name))
        for name in sorted(filter(_counts, names)):
            path = Path(place, name)
            if path.is_file() or path.is_symlink():
                yield path


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_DATA


def _refuse(error: OSError) -> None:
    raise DataError(
        f"{error.filename} cannot be read: {error.strerror}; what it holds would be left out"
    ) from error
