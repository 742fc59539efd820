"""Many arrays of one shape in a memory-mapped file, each with a checksum, filled in any order.

    <folder>/about.json       what the arrays are, and their shape
    <folder>/values.npy       (n, …) float32; holes where nothing has been written yet
    <folder>/checksums.npy    (n,) uint64; 0 where nothing has been written yet
    <folder>/in_use           locked, shared, by every process that has the store open

Several processes may read and write at once. A kill at any line leaves an array either absent, or
with a checksum that does not fit and which is then written anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ABOUT, VALUES, CHECKSUMS, IN_USE = "about.json", "values.npy", "checksums.npy", "in_use"
FORMAT = 1

_WRITTEN = 1 << 32  # told apart from absence, also where the checksum itself is 0

Array = NDArray[np.float32]


class DamagedStore(Exception):
    """The folder is not a whole store of what was expected; the message says why."""


class ItemStore:
    """An open store."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], shape: Sequence[int]) -> None:
        """Open what `create_store` made.

        Raises:
            DamagedStore: a file is missing, cut short, or of something else.
            OSError: a file may not be read or written.
        """
        self.folder = folder
        _check_about(folder, identity, shape)
        self._values = _mapped(folder / VALUES, shape, np.float32)
        self._checksums = _mapped(folder / CHECKSUMS, shape[:1], np.uint64)
        self._values_file = self._descriptor(VALUES)
        self._checksums_file = self._descriptor(CHECKSUMS)
        # Held by loader processes too, which inherit it.
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor(IN_USE), fcntl.LOCK_SH)

    def __len__(self) -> int:
        return len(self._checksums)

    @property
    def filled(self) -> int:
        """How many arrays have been written."""
        return int(np.count_nonzero(self._checksums))

    def has(self, index: int) -> bool:
        """Whether an array was written; it may be damaged all the same."""
        return bool(self._checksums[index])

    def read(self, index: int) -> Array | None:
        """A copy of an array; None if it is absent or does not fit its checksum."""
        expected = int(self._checksums[index])
        if not expected:
            return None
        values: Array = np.array(self._values[index])
        return values if _checksum(values) == expected else None

    def write(self, index: int, values: Array) -> None:
        """Keep an array.

        Written by the file, not through the map: a full disk is then an error, not a signal.

        Raises:
            OSError: the disk is full, say.
        """
        values = np.ascontiguousarray(values, np.float32)
        if values.shape != self._values.shape[1:]:
            raise ValueError(f"{values.shape} does not fit {self._values.shape[1:]}")
        start = self._values.offset + index * values.nbytes
        _write_all(self._values_file, values.tobytes(), start)
        # After the values, so that a reader in between sees no checksum or one that does not fit.
        entry = np.uint64(_checksum(values)).tobytes()
        _write_all(self._checksums_file, entry, self._checksums.offset + index * len(entry))

    @contextmanager
    def claim(self, number: int) -> Iterator[None]:
        """Wait until no other process holds the claim of this number, then hold it.

        A claim goes with the process that holds it. Where the file system has no locks there is
        no waiting, and work may be done twice.
        """
        try:
            fcntl.lockf(self._checksums_file, fcntl.LOCK_EX, 1, number)
        except OSError:
            yield
            return
        try:
            yield
        finally:
            fcntl.lockf(self._checksums_file, fcntl.LOCK_UN, 1, number)

    def _descriptor(self, name: str) -> int:
        """One to write to, closed when the store is no more."""
        descriptor = os.open(self.folder / name, os.O_RDWR)
        weakref.finalize(self, os.close, descriptor)
        return descriptor


def create_store(folder: Path, identity: Mapping[str, Any], shape: Sequence[int]) -> None:
    """Make an empty store in an existing empty folder; it takes no space until it is filled."""
    for name, extent, kind in (
        (VALUES, tuple(shape), np.float32),
        (CHECKSUMS, tuple(shape[:1]), np.uint64),
    ):
        np.lib.format.open_memmap(folder / name, mode="w+", dtype=kind, shape=extent)
    (folder / IN_USE).touch()
    about = {"format": FORMAT, "shape": list(shape), "identity": dict(identity)}
    (folder / ABOUT).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", "utf-8")


def is_in_use(folder: Path) -> bool:
    """Whether a live process has the store open, or this cannot be found out."""
    try:
        descriptor = os.open(folder / IN_USE, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _check_about(folder: Path, identity: Mapping[str, Any], shape: Sequence[int]) -> None:
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DamagedStore(f"{ABOUT} cannot be read ({error})") from error
    expected = {"format": FORMAT, "shape": list(shape), "identity": dict(identity)}
    if about != json.loads(json.dumps(expected)):
        raise DamagedStore(f"{ABOUT} describes something else")


def _mapped(
    path: Path, shape: Sequence[int], kind: type[np.generic]
) -> np.memmap[Any, np.dtype[Any]]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError) as error:
        raise DamagedStore(f"{path.name} cannot be read ({error})") from error
    if not isinstance(values, np.memmap) or values.shape != tuple(shape) or values.dtype != kind:
        raise DamagedStore(f"{path.name} holds something else")
    return values


def _checksum(values: Array) -> int:
    return zlib.crc32(values.data) | _WRITTEN


def _write_all(descriptor: int, content: bytes, start: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, start)
        content, start = content[written:], start + written
