"""What files hold, as far as can be told at little cost: whether data are still the same data.

A folder's fingerprint is made of the name below the folder and the size of every file, and of a
hash (BLAKE2b) of the first and the last 64 KiB of each; of more than 1000 files the contents of
those 1000 alone whose names hash lowest, which are the same ones wherever the folder lies. Names
that begin with a dot do not count: caches, locks and half-written files have such names. Neither
does the place itself, nor when a file was changed, so that data may be moved and copied.
"""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from protocol.errors import DataError

Files = dict[str, tuple[int, str]]  # by name: bytes, and the hash of the contents or nothing

EDGE = 64 * 1024  # bytes at either end
MOST_READ = 1000  # files of which contents are read
_DIGEST = 16  # bytes of every hash


def files_of(path: Path, without: Iterable[Path] = ()) -> Files:
    """The files at or below `path`, by name.

    Args:
        path: a folder or a file.
        without: folders that do not count, such as caches.

    Raises:
        DataError: one cannot be read.
    """
    try:
        if path.is_file():  # what it is called is no part of what it holds
            return {".": (path.stat().st_size, _edges(path))}
        sizes = {name: status.st_size for name, status in _walk(path, without)}
        read = set(heapq.nsmallest(MOST_READ, sizes, key=_order))
        return {
            name: (size, _edges(path / name) if name in read else "")
            for name, size in sorted(sizes.items())
        }
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def digest(files: Files) -> str:
    """The fingerprint of files in one word."""
    lines = (f"{name}\0{size}\0{contents}\n" for name, (size, contents) in sorted(files.items()))
    return _hash(lines)


def combined(digests: Mapping[str, str]) -> str:
    """One word for several places, by the keys that name them."""
    return _hash(f"{key}\0{found}\n" for key, found in sorted(digests.items()))


def quick_look(path: Path, without: Iterable[Path] = ()) -> str:
    """What changes whenever a file does, without opening any: sizes and times of change."""
    try:
        if path.is_file():
            status = path.stat()
            return f"{status.st_size}\0{status.st_mtime_ns}"
        return _hash(
            sorted(f"{n}\0{s.st_size}\0{s.st_mtime_ns}\n" for n, s in _walk(path, without))
        )
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def difference(before: Files, now: Files, most: int = 3) -> str:
    """What changed from one to the other: `missing: a, b; new: c; changed: d`."""
    parts = {
        "missing": sorted(before.keys() - now.keys()),
        "new": sorted(now.keys() - before.keys()),
        "changed": sorted(n for n in before.keys() & now.keys() if before[n] != now[n]),
    }
    return "; ".join(f"{what}: {_some(names, most)}" for what, names in parts.items() if names)


def _some(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _walk(path: Path, without: Iterable[Path]) -> Iterator[tuple[str, os.stat_result]]:
    """Every file that counts, links followed; each folder once."""
    left_out = {os.path.realpath(folder) for folder in without}
    seen: set[tuple[int, int]] = set()
    waiting = [("", path)]
    while waiting:
        prefix, folder = waiting.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen or os.path.realpath(folder) in left_out:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{prefix}{entry.name}"
                if entry.is_dir():
                    waiting.append((f"{name}/", folder / entry.name))
                elif entry.is_file():
                    yield name, entry.stat()


def _edges(path: Path) -> str:
    with path.open("rb") as stream:
        found = hashlib.blake2b(stream.read(EDGE), digest_size=_DIGEST)
        size = os.fstat(stream.fileno()).st_size
        if size > EDGE:
            stream.seek(max(EDGE, size - EDGE))
            found.update(stream.read(EDGE))
    return found.hexdigest()


def _order(name: str) -> bytes:
    return hashlib.blake2b(os.fsencode(name), digest_size=8).digest()


def _hash(lines: Iterable[str]) -> str:
    found = hashlib.blake2b(digest_size=_DIGEST)
    for line in lines:
        found.update(os.fsencode(line))
    return found.hexdigest()
