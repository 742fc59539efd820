"""A folder of item stores with a bound on its size: the least recently used ones go first."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from data.caches.item_store import VALUES, DamagedStore, ItemStore, create_store, is_in_use
from data.caches.places import obstacle
from protocol.errors import DataError

FLOAT_BYTES = 4
SPARE_BYTES = 1 << 30  # of the disk that a cache never takes

_PARTIAL = ".partial-"
_log = logging.getLogger(__name__)


class CacheFolder:
    """Finds, makes and evicts stores; safe to use from several processes at once."""

    def __init__(self, candidates: Sequence[Path], limit_gb: float) -> None:
        """Nothing is touched yet.

        Args:
            candidates: folders, the first of which that can be written to is used.
            limit_gb: the most that all stores in it may take when they are full; 0 for no cache.
        """
        self._candidates = tuple(candidates)
        self._limit = limit_gb * 1e9

    def open(
        self, name: str, identity: Mapping[str, Any], shape: Sequence[int]
    ) -> ItemStore | None:
        """The store of this identity, made if need be; None, with a word in the log, for no room.

        Raises:
            DataError: there is a single candidate, and it cannot be written to.
        """
        if self._limit == 0:
            return None
        size = FLOAT_BYTES * math.prod(shape)
        if size > self._limit:
            _log.warning(
                "%s would take %.2f GB, more than the %.2f GB allowed, so they are computed "
                "whenever they are needed; a larger data.cache_gb spares that",
                name,
                size / 1e9,
                self._limit / 1e9,
            )
            return None
        folder = self._writable()
        if folder is None:
            return None
        try:
            with FileLock(folder / ".lock"):
                place = folder / _key(identity, shape)
                found = _found(folder, place, identity, shape)
                if found is not None:
                    return found
                return _made(place, identity, shape) if self._room(folder, name, size) else None
        except OSError as error:
            reason = error.strerror or error
            _log.warning("%s cannot be used (%s), so nothing is cached", folder, reason)
            return None

    def _writable(self) -> Path | None:
        reasons = []
        for folder in self._candidates:
            reason = obstacle(folder)
            if reason is None:
                return folder
            reasons.append(reason)
        if len(self._candidates) == 1:
            raise DataError(
                f"{reasons[0]}; name another folder, or leave it out", key="data.cache_folder"
            )
        _log.warning(
            "%s, so nothing is cached; data.cache_folder names a place", ", ".join(reasons)
        )
        return None

    def _room(self, folder: Path, name: str, size: int) -> bool:
        """Evict until `size` more bytes fit; False if they never will."""
        sizes = {store: _planned(store) for store in _stores(folder)}
        taken = sum(map(_allocated, sizes))
        most = min(self._limit, shutil.disk_usage(folder).free + taken - SPARE_BYTES)
        for store in sorted(sizes, key=lambda path: path.stat().st_mtime):
            if sum(sizes.values()) + size <= most:
                break
            if not is_in_use(store):
                _log.info("%s makes room for %s", store, name)
                _remove(store)
                del sizes[store]
        if sum(sizes.values()) + size <= most:
            return True
        _log.warning(
            "%s would take %.2f GB, but %s has %.2f GB for them beside the caches in use, so they "
            "are computed whenever they are needed; free some space, or raise data.cache_gb",
            name,
            size / 1e9,
            folder,
            max(0.0, most - sum(sizes.values())) / 1e9,
        )
        return False


def _found(
    folder: Path, place: Path, identity: Mapping[str, Any], shape: Sequence[int]
) -> ItemStore | None:
    for remains in folder.glob(f"*{_PARTIAL}*"):
        shutil.rmtree(remains, ignore_errors=True)
    if not place.exists():
        return None
    try:
        store = ItemStore(place, identity, shape)
    except DamagedStore as error:
        _log.warning("%s is damaged (%s) and made anew", place, error)
        _remove(place)
        return None
    os.utime(place)
    return store


def _made(place: Path, identity: Mapping[str, Any], shape: Sequence[int]) -> ItemStore:
    partial = Path(tempfile.mkdtemp(prefix=place.name + _PARTIAL, dir=place.parent))
    partial.chmod(0o755)  # mkdtemp's folders are closed to others; caches are to be shared
    create_store(partial, identity, shape)
    partial.rename(place)
    return ItemStore(place, identity, shape)


def _key(identity: Mapping[str, Any], shape: Sequence[int]) -> str:
    text = json.dumps([list(shape), dict(identity)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stores(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob(f"*/{VALUES}")]


def _planned(store: Path) -> int:
    """Bytes when full."""
    with contextlib.suppress(OSError):
        return (store / VALUES).stat().st_size
    return 0


def _allocated(store: Path) -> int:
    """Bytes taken by now."""
    with contextlib.suppress(OSError):
        return (store / VALUES).stat().st_blocks * 512
    return 0


def _remove(store: Path) -> None:
    """Out of sight at once, so that a kill leaves nothing that looks whole."""
    with contextlib.suppress(OSError):
        gone = store.rename(store.with_name(f"{store.name}{_PARTIAL}old"))
        shutil.rmtree(gone, ignore_errors=True)
