"""One split's X-ray/CT pairs at the size that is asked for, kept on disk for everyone."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.caches.array_cache import NEIGHBOURS, ArrayCache, Build
from data.caches.cache_folder import CacheFolder
from data.caches.places import cache_places, fingerprint
from data.scans.volume import Millimetres
from data.splits import Split
from data.xray_ct.images import as_meant, resize_xrays
from data.xray_ct.layouts.find import Note, find_cases, read_note
from data.xray_ct.layouts.format import Extent, Format
from data.xray_ct.resize import resize_volume
from data.xray_ct.settings import XrayCtSettings
from data.xray_ct.splits import split_cases

LARGE = 1 << 20  # numbers of an array that is computed alone, lest a few fill the memory
VERSION = 1  # to be raised when the resampling changes, so that older arrays are not taken

Array = NDArray[np.float32]

_log = logging.getLogger(__name__)


class XrayCtCases:
    """A sequence of pairs; it may be forked and pickled."""

    def __init__(self, settings: XrayCtSettings, split: Split) -> None:
        """Find the split's cases and look at their headers; nothing is read or resampled yet.

        Raises:
            DataError: a file is missing or malformed, the layout cannot be told, or splits share
                patients.
        """
        self._settings = settings
        found = find_cases(settings.root, settings.layout)
        self._format: Format = found.format
        self._note: Note = read_note(settings.root)
        by_name = {case.name: case for case in found.cases}
        names = split_cases(settings, list(by_name))[split]
        self._cases = [by_name[name] for name in names]
        self._extents = [self._format.check(case, settings.ct_axes) for case in self._cases]
        self._say_what_is_assumed()
        side, width = settings.ct_size, settings.xray_size
        self._volumes = self._cache(split, "volumes", (1, side, side, side), self._build_volumes)
        self._xrays = self._cache(split, "X-rays", (2, width, width), self._build_xrays)

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def says_its_axes(self) -> bool:
        """Whether the files do, so that data.ct_axes is not asked."""
        return self._format.says_its_axes

    def name(self, index: int) -> str:
        """The case's name."""
        return self._cases[index].name

    def volume(self, index: int) -> Array:
        """(1, D, H, W) float32 in [0, 1].

        Raises:
            DataError: its file can no longer be read, or holds values no CT has.
        """
        return self._volumes[index]

    def xrays(self, index: int) -> Array:
        """(2, S, S) float32 in [0, 1], the front view first.

        Raises:
            DataError: a file can no longer be read, or holds values no X-ray has.
        """
        return self._xrays[index]

    def voxel_size(self, index: int) -> Millimetres:
        """The mm between the slices, rows and columns of the volume as it is given out."""
        extent = self._extents[index]
        sides = self._stored_voxel_size(self.name(index), extent) or (1.0, 1.0, 1.0)
        first, second, third = (
            side * count / self._settings.ct_size
            for side, count in zip(sides, extent.shape, strict=True)
        )
        return first, second, third

    def _stored_voxel_size(self, name: str, extent: Extent) -> Millimetres | None:
        return self._settings.voxel_size or extent.voxel_size or self._note.voxel_size.get(name)

    def _say_what_is_assumed(self) -> None:
        root = self._settings.root
        if self._note.splits_share_people:
            _log.warning(
                "%s: all splits come from the same people, so results show whether training works, "
                "not how it does on people it has not seen",
                root,
            )
        remarks = Counter(remark for extent in self._extents for remark in extent.remarks)
        for remark, count in remarks.items():
            _log.warning("%s: of %d of %d volumes %s", root, count, len(self._cases), remark)
        silent = sum(
            self._stored_voxel_size(case.name, extent) is None
            for case, extent in zip(self._cases, self._extents, strict=True)
        )
        if silent:
            _log.warning(
                "%s does not say how large the voxels of %d cases are, so they are taken to be "
                "1 mm; data.voxel_size says otherwise",
                root,
                silent,
            )

    @property
    def cache_folder(self) -> CacheFolder:
        """Where what is computed from these cases is kept."""
        chosen = self._settings
        return CacheFolder(cache_places(chosen.root, chosen.cache_folder), chosen.cache_gb)

    def identity(self, what: str) -> dict[str, Any]:
        """All that the cases' volumes or X-rays depend on but their size, as JSON."""
        depends_on = {"hu_window", "ct_axes", "xray_turn", "xray_invert"}
        return {
            "version": VERSION,
            "what": what,
            "layout": self._format.name,
            "files": [fingerprint(path) for case in self._cases for path in case.files],
            "settings": self._settings.model_dump(mode="json", include=depends_on),
        }

    def _cache(self, split: Split, what: str, shape: tuple[int, ...], build: Build) -> ArrayCache:
        return ArrayCache(
            self.cache_folder,
            f"{what} of the {split} split",
            self.identity(what),
            (len(self._cases), *shape),
            build,
            neighbours=1 if math.prod(shape) > LARGE else NEIGHBOURS,
        )

    def _build_volumes(self, indices: Sequence[int]) -> Array:
        size = self._settings.ct_size
        low, high = self._settings.hu_window
        volumes = np.empty((len(indices), 1, size, size, size), dtype=np.float32)
        for place, index in enumerate(indices):
            hu = self._format.volume(self._cases[index], self._settings.ct_axes)
            resized = resize_volume(hu, (size, size, size))
            volumes[place, 0] = np.clip((resized - low) / (high - low), 0, 1)
        return volumes

    def _build_xrays(self, indices: Sequence[int]) -> Array:
        size = self._settings.xray_size
        pairs = [
            [
                resize_xrays(torch.from_numpy(self._as_meant(view))[None], size)
                for view in self._format.xrays(self._cases[index])
            ]
            for index in indices
        ]
        return torch.stack([torch.cat(pair) for pair in pairs]).numpy()

    def _as_meant(self, view: Array) -> Array:
        return as_meant(view, turn=self._settings.xray_turn, invert=self._settings.xray_invert)
