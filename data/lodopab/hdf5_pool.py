"""Open HDF5 files, a few at a time, for readers that are forked, pickled or long-lived."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import h5py


class Hdf5Pool:
    """At most `limit` files open for reading, the least recently used one closed first.

    A handle must not be shared between processes: HDF5 keeps its file position and caches in the
    process, and a forked copy shares the descriptor. So handles belong to the process that opened
    them, and a child opens its own; a pickled pool carries none.
    """

    def __init__(self, limit: int = 8) -> None:
        self._limit = limit
        self._owner = os.getpid()
        self._files: OrderedDict[Path, h5py.File] = OrderedDict()

    def file(self, path: Path) -> h5py.File:
        """The open file at `path`.

        Raises:
            OSError: it cannot be opened.
        """
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._files = OrderedDict()
        if path in self._files:
            self._files.move_to_end(path)
        else:
            while len(self._files) >= self._limit:
                self._files.popitem(last=False)[1].close()
            # Without locking, read-only media and network file systems without locks work too.
            self._files[path] = h5py.File(path, "r", locking=False)
        return self._files[path]

    def close(self) -> None:
        """Close what this process has opened; the pool stays usable."""
        if self._owner == os.getpid():
            for file in self._files.values():
                file.close()
        self._files.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {"_limit": self._limit, "_owner": -1, "_files": OrderedDict()}
