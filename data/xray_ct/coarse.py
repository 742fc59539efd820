"""CT volumes beside a coarse volume of each, which a network is to refine.

The coarse volume is what an earlier model makes of the case's X-rays. Such a model does not change
any more, so each is computed once and kept (see `array_cache`); what computes it is handed in. A
case mirrored in training has a coarse volume of its own, made from its mirrored X-rays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.caches.array_cache import ArrayCache
from data.splits import Split
from data.xray_ct.dataset import XrayCtVolumes, mirrored
from data.xray_ct.settings import XrayCtSettings

FACTOR = 4  # edge of a volume over that of its coarse one

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Coarsening:
    """What makes a coarse volume of X-rays."""

    compute: Callable[
        [Array], Array
    ]  # (B, 2, S, S) → (B, 1, n, n, n); no sample depends on another
    method: Mapping[str, Any]  # which it is, as JSON: another method, other volumes


class CoarseAndFine:
    """One split's pairs of a coarse and a true volume, as a map-style data set.

    It may be forked, sent to loader workers and pickled.
    """

    def __init__(
        self, settings: XrayCtSettings, split: Split, coarsening: Coarsening | None
    ) -> None:
        """Look at the headers of all the split's files; nothing is computed yet.

        Args:
            settings: of the data; the edge of volumes is four times that of coarse ones.
            split: train, validation or test.
            coarsening: makes coarse volumes; None for the means of 4³ voxels of the true ones.

        Raises:
            DataError: as from XrayCtVolumes.
        """
        self._flip = settings.flip and split == "train"
        # Mirrored here, as the coarse volumes have to follow.
        self._volumes = XrayCtVolumes(settings.model_copy(update={"flip": False}), split)
        self._compute = None if coarsening is None else coarsening.compute
        self._coarse = None if coarsening is None else self._cache(settings, split, coarsening)

    def __len__(self) -> int:
        return len(self._volumes)

    def name(self, index: int) -> str:
        """The case's name."""
        return self._volumes.name(index)

    def voxel_size(self, index: int) -> tuple[float, float, float]:
        """The mm between the slices, rows and columns of the case's true volume."""
        return self._volumes.voxel_size(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample; in training its seed and flip come from torch's global generator.

        Returns:
            `coarse` (1, n, n, n) float32; `ct` (1, 4n, 4n, 4n) float32 in [0, 1]; `index` the
            given one; `seed` as of XrayCtVolumes.

        Raises:
            IndexError: `index` is not in 0 … len − 1.
            DataError: a file can no longer be read, or the cache cannot be written to.
        """
        sample = self._volumes[index]
        # Drawn before a coarse volume is computed, which only the first look at it does.
        flip = self._flip and bool(torch.rand(()) < 0.5)
        volume = sample["ct"]
        if flip:
            _, volume = mirrored(sample["xrays"], volume)
        coarse = self._coarse
        return {
            "coarse": averaged(volume) if coarse is None else coarse[index + flip * len(self)],
            "ct": volume,
            "index": sample["index"],
            "seed": sample["seed"],
        }

    def _cache(self, settings: XrayCtSettings, split: Split, coarsening: Coarsening) -> ArrayCache:
        cases = self._volumes.cases
        edge = settings.ct_size // FACTOR
        return ArrayCache(
            cases.cache_folder,
            f"coarse volumes of the {split} split",
            {"of": cases.identity("X-rays"), "size": settings.xray_size, **coarsening.method},
            (2 * len(cases), 1, edge, edge, edge),
            self._build,
        )

    def _build(self, indices: Sequence[int]) -> Array:
        assert self._compute is not None
        return self._compute(np.stack([self._xrays(index) for index in indices]))

    def _xrays(self, index: int) -> Array:
        """(2, S, S); the second half of the indices are the mirrored cases."""
        flip, case = divmod(index, len(self))
        xrays = self._volumes.cases.xrays(case)
        return mirrored(xrays, np.empty((1, 1, 1, 1), np.float32))[0] if flip else xrays


def averaged(volume: Array) -> Array:
    """The means of 4³ voxels: (1, D, H, W) → (1, D / 4, H / 4, W / 4)."""
    depth, height, width = (side // FACTOR for side in volume.shape[1:])
    blocks = volume.reshape(1, depth, FACTOR, height, FACTOR, width, FACTOR)
    means: Array = blocks.mean(axis=(2, 4, 6), dtype=np.float64).astype(np.float32)
    return means
