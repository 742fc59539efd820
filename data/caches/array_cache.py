"""Arrays that are slow to compute, kept on disk for every process that asks for the same ones.

Nothing is computed ahead: whoever first needs an array computes it, with a few neighbours, while
others who want one of these wait; so a set is computed once however many processes begin
together, by all of them at once, and one that is killed costs the others nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.caches.cache_folder import CacheFolder
from data.caches.item_store import ItemStore

NEIGHBOURS = 8  # arrays that are computed together, unless it is said otherwise
LOG_SECONDS = 30.0  # between words on how far it is filled

Array = NDArray[np.float32]
Build = Callable[[Sequence[int]], Array]  # indices (n,) → their arrays (n, …)

_log = logging.getLogger(__name__)


class ArrayCache:
    """A sequence of arrays of one shape; opened at the first read, and anew in a pickled copy."""

    def __init__(
        self,
        folder: CacheFolder,
        name: str,
        identity: Mapping[str, Any],
        shape: Sequence[int],
        build: Build,
        neighbours: int = NEIGHBOURS,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            folder: where the arrays are kept.
            name: what they are, for the log: "reconstructions of the train split".
            identity: everything the arrays depend on, as JSON; other values, other arrays.
            shape: (how many arrays, the shape of one).
            build: computes the arrays of the given indices; its result for an index must not
                depend on what else it is asked for.
            neighbours: how many are computed together; few where one alone fills the memory.
        """
        self._folder = folder
        self._name = name
        self._identity = dict(identity)
        self._shape = tuple(shape)
        self._build = build
        self._neighbours = neighbours
        self._store: ItemStore | None = None
        self._opened = False
        self._said = time.monotonic()

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, index: int) -> Array:
        """One array, from the disk if it is there and whole, else computed.

        Raises:
            DataError: the cache's folder was asked for and cannot be used.
            Whatever `build` raises.
        """
        store = self._open()
        if store is None:
            return self._build([index])[0]
        found = store.read(index)
        return found if found is not None else self._fill(store, index)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_store": None, "_opened": False}

    def _open(self) -> ItemStore | None:
        if not self._opened:
            self._opened = True
            self._store = self._folder.open(self._name, self._identity, self._shape)
            if self._store is not None:
                place, there = self._store.folder, self._store.filled
                _log.info("%s: %d of %d are in %s", self._name, there, len(self), place)
        return self._store

    def _fill(self, store: ItemStore, index: int) -> Array:
        """Compute what is missing around `index`, unless another process has just done so."""
        block = index // self._neighbours
        with store.claim(block):
            found = store.read(index)
            if found is not None:
                return found
            if store.has(index):
                _log.warning("%s: number %d is damaged and computed anew", self._name, index)
            start = block * self._neighbours
            around = range(start, min(start + self._neighbours, len(self)))
            missing = [other for other in around if other == index or not store.has(other)]
            built = dict(zip(missing, self._build(missing), strict=True))
            self._keep(store, built)
        return built[index]

    def _keep(self, store: ItemStore, built: Mapping[int, Array]) -> None:
        try:
            for index, values in built.items():
                store.write(index, values)
        except OSError as error:
            _log.warning(
                "%s: %s cannot be written (%s), so they are computed whenever they are needed; "
                "free some space there",
                self._name,
                store.folder,
                error.strerror or error,
            )
            self._store = None
            return
        self._say_how_far(store)

    def _say_how_far(self, store: ItemStore) -> None:
        filled = store.filled
        if filled == len(self) or time.monotonic() - self._said > LOG_SECONDS:
            self._said = time.monotonic()
            _log.info("%s: %d of %d are computed", self._name, filled, len(self))
