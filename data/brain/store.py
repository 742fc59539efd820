"""One preprocessed brain volume on disk, which many processes map and none needs to read whole.

<name>.npy     (Z, H, W) records of image, mask and segmentation, so that one map gives all
<name>.json    its check sum and voxel size; written last, so the volume is there if it is
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.scans.volume import Millimetres
from protocol.files import replacing, sha256_of, write_text

RECORD = np.dtype([("image", "<f4"), ("mask", "?"), ("segmentation", "?")])


@dataclass(frozen=True, kw_only=True)
class CachedVolume:
    """A volume in the cache, mapped and not read; all (Z, H, W)."""

    records: NDArray[np.void]  # of dtype RECORD
    voxel_size: Millimetres

    @cached_property
    def brain_share(self) -> NDArray[np.float64]:
        """The share of brain in every slice, (Z,)."""
        return np.asarray(self.records["mask"].mean(axis=(1, 2)))


def store_volume(path: Path, volume: CachedVolume) -> None:
    """Write a volume so that it is there whole or not at all; first its records, then its note.

    Raises:
        OSError: the disk is full, say.
    """
    with replacing(path) as stream:
        np.lib.format.write_array(stream, volume.records, allow_pickle=False)
    note = {"sha256": sha256_of(path, fresh=False), "voxel_size": list(volume.voxel_size)}
    write_text(note_of(path), json.dumps(note))


def load_volume(path: Path) -> CachedVolume | None:
    """The volume at `path`; None if it is not there whole."""
    try:
        note = json.loads(note_of(path).read_text(encoding="utf-8"))
        if sha256_of(path, fresh=False) != note["sha256"]:
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
