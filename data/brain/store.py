"""One preprocessed brain volume on disk, which many processes map and none needs to read whole.

<name>.npy     (Z, H, W) records of image, mask and segmentation, so that one map gives all
<name>.json    its check sum and voxel size; written last, so the volume is there if it is
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

RECORD = np.dtype([("image", "<f4"), ("mask", "?"), ("segmentation", "?")])


@dataclass(frozen=True, kw_only=True)
class CachedVolume:
    """A volume in the cache, mapped and not read; all (Z, H, W)."""

    records: NDArray[np.void]  # of dtype RECORD
    voxel_size: tuple[float, float, float]  # millimetres between slices, rows and columns

    @cached_property
    def brain_share(self) -> NDArray[np.float64]:
        """The share of brain in every slice, (Z,)."""
        return np.asarray(self.records["mask"].mean(axis=(1, 2)))


def store_volume(path: Path, volume: CachedVolume) -> None:
    """Write a volume so that it is there whole or not at all; first its records, then its note.

    Raises:
        OSError: the disk is full, say.
    """

    def write_records(stream: BinaryIO) -> None:
        np.lib.format.write_array(stream, volume.records, allow_pickle=False)

    _write_whole(path, write_records)
    note = {"sha256": _check_sum(path), "voxel_size": list(volume.voxel_size)}
    text = json.dumps(note).encode()
    _write_whole(note_of(path), lambda stream: stream.write(text))


def load_volume(path: Path) -> CachedVolume | None:
    """The volume at `path`; None if it is not there whole."""
    try:
        note = json.loads(note_of(path).read_text(encoding="utf-8"))
        if _check_sum(path) != note["sha256"]:
            return None
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        above, front, side = map(float, note["voxel_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with contextlib.suppress(OSError):  # of a data set that may only be read
        os.utime(path)  # used just now
    return CachedVolume(records=records, voxel_size=(above, front, side))


def note_of(path: Path) -> Path:
    """The file with the volume's check sum and voxel size."""
    return path.with_suffix(".json")


def remove_volume(path: Path) -> None:
    """Delete it, the note first, so that a kill leaves nothing that looks whole."""
    with contextlib.suppress(OSError):
        note_of(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)  # mkstemp's files are closed to others; caches are to be shared
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _check_sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
