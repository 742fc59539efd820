"""Preprocessed volumes on disk, made once for all ranks, trials and folds.

A volume is a .npy file of records (image, mask, segmentation), so that one memory-map gives all
three, and beside it a .json file with its check sum. Their name holds a digest of everything the
volume depends on: its source files, as far as size and time of change tell, and the settings. So
nothing is ever out of date; what is no longer asked for leaves when room is needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from data.brain_layout import Case
from data.brain_settings import BrainSettings
from orchestrator.errors import DataError

VERSION = 1  # to be raised when preprocessing changes, so that older volumes are not taken
RECORD = np.dtype([("image", "<f4"), ("mask", "?"), ("segmentation", "?")])

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CachedVolume:
    """A volume in the cache, mapped and not read; all (Z, H, W)."""

    records: NDArray[np.void]  # of dtype RECORD
    voxel_size: tuple[float, float, float]  # millimetres between slices, rows and columns

    @property
    def brain_share(self) -> NDArray[np.float64]:
        """The share of brain in every slice, (Z,)."""
        return np.asarray(self.records["mask"].mean(axis=(1, 2)))


class BrainCache:
    """The preprocessed volumes of one data set."""

    def __init__(self, settings: BrainSettings) -> None:
        self._settings = settings
        self._folder = settings.cache_folder
        self._open: dict[Path, CachedVolume] = {}

    def prepare(self, cases: Sequence[Case]) -> None:
        """Have all these volumes in the cache.

        Several processes may do so at once: each works on volumes that no other works on, and
        all return when all are there.

        Raises:
            DataError: a volume cannot be read, or the cache cannot be written or is too small.
        """
        missing = [case for case in cases if not self._is_there(case)]
        if not missing:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(cases, missing)
            _log.info("preprocessing %d volumes into %s", len(missing), self._folder)
            busy = [case for case in missing if not self._build(case, timeout=0)]
            for case in busy:
                self._build(case, timeout=-1)
        except OSError as error:
            raise DataError(
                f"{self._folder} cannot be written ({error.strerror or error}); free some space, "
                "or name a folder of your own with data.cache"
            ) from error

    def volume(self, case: Case) -> CachedVolume:
        """The case's volume; its check sum is compared when this process first opens it.

        A damaged one is made anew.

        Raises:
            DataError: as from `prepare`.
        """
        path = self._path(case)
        if path not in self._open:
            found = _load(path)
            if found is None:
                _log.warning("%s is missing or damaged; it is made anew", path)
                path.unlink(missing_ok=True)
                self.prepare([case])
                found = _load(path)
            if found is None:
                raise DataError(f"{path} is damaged as soon as it is written; check the disk")
            self._open[path] = found
        return self._open[path]

    def __getstate__(self) -> dict[str, Any]:
        return {"_settings": self._settings, "_folder": self._folder, "_open": {}}

    def _is_there(self, case: Case) -> bool:
        path = self._path(case)
        return path.is_file() and path.with_suffix(".json").is_file()

    def _path(self, case: Case) -> Path:
        chosen = self._settings.model_dump(mode="json", include={"crop", "size", "percentiles"})
        sources = [_identity(path) for path in (case.image, case.mask, case.segmentation)]
        text = json.dumps([VERSION, chosen, sources])
        digest = hashlib.sha256(text.encode()).hexdigest()[:20]
        return self._folder / f"{case.subject}-{digest}.npy"

    def _build(self, case: Case, timeout: float) -> bool:
        """Make one volume unless it is there; False if another process still works on it."""
        from data.brain_preprocess import preprocess

        path = self._path(case)
        try:
            with FileLock(path.with_suffix(".lock"), timeout=timeout):
                if not self._is_there(case):
                    volume = preprocess(case, self._settings)
                    records = np.empty(volume.image.shape, dtype=RECORD)
                    for name in RECORD.names or ():
                        records[name] = getattr(volume, name)
                    _store(path, records, volume.voxel_size)
        except Timeout:
            return False
        return True

    def _make_room(self, cases: Sequence[Case], missing: Sequence[Case]) -> None:
        """Remove what was used longest ago, until the missing volumes fit as well."""
        limit = self._settings.cache_gb * 1e9
        rows, columns, slices = self._settings.size
        each = rows * columns * slices * RECORD.itemsize
        if len(cases) * each > limit:
            raise DataError(
                f"data.cache_gb: found {self._settings.cache_gb:g}, but the {len(cases)} volumes "
                f"of this split need {len(cases) * each / 1e9:.3g}; raise it"
            )
        needed = {self._path(case) for case in cases}
        others = [path for path in self._folder.glob("*.npy") if path not in needed]
        others.sort(key=lambda path: path.stat().st_mtime)
        excess = sum(path.stat().st_size for path in self._folder.glob("*.npy"))
        excess += len(missing) * each - int(limit)
        for path in others:
            if excess <= 0:
                break
            excess -= path.stat().st_size
            for one in (path.with_suffix(".json"), path, path.with_suffix(".lock")):
                one.unlink(missing_ok=True)


def _identity(path: Path | None) -> list[Any] | None:
    """What tells a file from another, and from itself after a change."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"there is no file {path} ({error.strerror}), though a csv file names it; restore it, "
            "or delete the row"
        ) from error
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def _store(path: Path, records: NDArray[np.void], voxel_size: Sequence[float]) -> None:
    def write_records(stream: BinaryIO) -> None:
        np.lib.format.write_array(stream, records, allow_pickle=False)

    _write_whole(path, write_records)
    note = {"sha256": _check_sum(path), "voxel_size": list(voxel_size)}
    _write_whole(path.with_suffix(".json"), lambda stream: stream.write(json.dumps(note).encode()))


def _write_whole(path: Path, write: Any) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _load(path: Path) -> CachedVolume | None:
    """The volume at `path`; None if it is not there whole."""
    try:
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if _check_sum(path) != note["sha256"]:
            return None
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        os.utime(path)  # used just now
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sizes = note["voxel_size"]
    return CachedVolume(records=records, voxel_size=(sizes[0], sizes[1], sizes[2]))


def _check_sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
