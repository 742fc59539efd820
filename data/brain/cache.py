"""Preprocessed volumes on disk, made once for all ranks, trials and folds.

A volume's file name holds a digest of everything the volume depends on: its source files, as far
as size and time of change tell, and the settings. So nothing is ever out of date; what is no
longer asked for leaves when room is needed.

It is no `ArrayCache`, whose stores are of a whole split: folds share volumes, so each is kept by
itself, and hundreds of stores would hold too many files open. A slice is read through the map,
without the rest of its volume. All volumes are made before training begins, so that a damaged scan
ends a trial at its start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from data.brain.lists import Case
from data.brain.settings import BrainSettings
from data.brain.store import RECORD, CachedVolume, load_volume, note_of, remove_volume, store_volume
from data.caches.places import cache_places, fingerprint, obstacle
from data.reading import reading
from protocol.errors import DataError

LOG_SECONDS = 30.0  # between words on how far the preprocessing is
VERSION = 1  # to be raised when preprocessing changes, so that older volumes are not taken

_log = logging.getLogger(__name__)


class BrainCache:
    """The preprocessed volumes of one data set."""

    def __init__(self, settings: BrainSettings) -> None:
        self._settings = settings
        self._folders = cache_places(settings.root, settings.cache_folder)
        self._open: dict[str, CachedVolume] = {}

    def prepare(self, cases: Sequence[Case]) -> None:
        """Have all these volumes in the cache.

        Several processes may do so at once: each works on volumes that no other works on, and
        all return when all are there.

        Raises:
            DataError: a volume cannot be read, or the cache cannot be written or is too small.
        """
        missing = [case for case in cases if self._found(self._name(case)) is None]
        if not missing:
            return
        folder = self._writable()
        try:
            self._make_room(folder, cases, missing)
            self._build_all(folder, missing)
        except OSError as error:
            raise DataError(
                f"{folder} cannot be written ({error.strerror or error}); free some space, or "
                "name another folder with data.cache_folder"
            ) from error

    def volume(self, case: Case) -> CachedVolume:
        """The case's volume; its check sum is compared when this process first opens it.

        A damaged one is made anew.

        Raises:
            DataError: as from `prepare`.
        """
        name = self._name(case)
        if name not in self._open:
            self._open[name] = self._sound(name) or self._made_anew(case, name)
        return self._open[name]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_open": {}}

    def _name(self, case: Case) -> str:
        chosen = self._settings.model_dump(mode="json", include={"crop", "size", "percentiles"})
        if self._settings.curvature_flow:  # without it, names are as before there was the key
            chosen["curvature_flow"] = self._settings.curvature_flow
        sources = [_identity(path) for path in (case.image, case.mask, case.segmentation)]
        text = json.dumps([VERSION, chosen, sources])
        return f"{case.subject}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.npy"

    def _found(self, name: str) -> Path | None:
        """The volume's file, which may be damaged; None if it is not there."""
        paths = (folder / name for folder in self._folders)
        return next((p for p in paths if p.is_file() and note_of(p).is_file()), None)

    def _sound(self, name: str) -> CachedVolume | None:
        path = self._found(name)
        return None if path is None else load_volume(path)

    def _made_anew(self, case: Case, name: str) -> CachedVolume:
        path = self._found(name)
        if path is not None:
            _log.warning("%s is damaged and made anew", path)
            remove_volume(path)
        self.prepare([case])
        volume = self._sound(name)
        if volume is None:
            raise DataError(
                f"{self._found(name) or name} is damaged as soon as it is written; check the disk, "
                "or name another folder with data.cache_folder"
            )
        return volume

    def _writable(self) -> Path:
        for folder in self._folders:
            if obstacle(folder) is None:
                return folder
        raise DataError(
            f"{' and '.join(map(str, self._folders))} cannot be written to, expected room for "
            "preprocessed volumes; name another folder with data.cache_folder"
        )

    def _build_all(self, folder: Path, cases: Sequence[Case]) -> None:
        _log.info("preprocessing %d volumes into %s", len(cases), folder)
        said = time.monotonic()
        busy = []
        for done, case in enumerate(cases, start=1):
            if not self._build(folder, case, timeout=0):
                busy.append(case)
            if time.monotonic() - said > LOG_SECONDS:
                said = time.monotonic()
                _log.info("preprocessed %d of %d volumes", done - len(busy), len(cases))
        for case in busy:
            self._build(folder, case, timeout=-1)

    def _build(self, folder: Path, case: Case, timeout: float) -> bool:
        """Make one volume unless it is there; False if another process still works on it."""
        from data.brain.preprocess import preprocess

        path = folder / self._name(case)
        lock = FileLock(path.with_suffix(".lock"), timeout=timeout)
        try:
            with lock:
                if self._found(path.name) is None:
                    volume = preprocess(case, self._settings)
                    records = np.empty(volume.image.shape, dtype=RECORD)
                    for name in RECORD.names or ():
                        records[name] = getattr(volume, name)
                    store_volume(path, CachedVolume(records=records, voxel_size=volume.voxel_size))
                # Whoever waited for it, or comes later, finds the volume.
                path.with_suffix(".lock").unlink(missing_ok=True)
        except Timeout:
            return False
        return True

    def _make_room(self, folder: Path, cases: Sequence[Case], missing: Sequence[Case]) -> None:
        """Remove what was used longest ago, until the missing volumes fit as well."""
        limit = self._settings.cache_gb * 1e9
        each = math.prod(self._settings.size) * RECORD.itemsize
        if len(cases) * each > limit:
            raise DataError(
                f"found {self._settings.cache_gb:g}, but the {len(cases)} volumes "
                f"of this split need {len(cases) * each / 1e9:.3g}; raise it",
                key="data.cache_gb",
            )
        needed = {self._name(case) for case in cases}
        sizes = {path: path.stat() for path in folder.glob("*.npy")}
        taken = sum(status.st_size for status in sizes.values()) + len(missing) * each
        for path in sorted(sizes, key=lambda path: sizes[path].st_mtime):
            if taken <= limit:
                return
            if path.name not in needed:
                taken -= sizes[path].st_size
                remove_volume(path)


def _identity(path: Path | None) -> list[Any] | None:
    """The file's fingerprint."""
    if path is None:
        return None
    missing = "a csv file names it: restore it, or delete the row"
    with reading(path, "a volume's file", missing=missing):
        return fingerprint(path)
