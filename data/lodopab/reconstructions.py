"""LoDoPaB-CT with a fixed reconstruction of each sinogram in the sinogram's place.

A reconstruction that nothing is learned in is the same in every epoch of every trial, so each is
computed once and kept (see `array_cache`). What reconstructs is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data.caches.array_cache import ArrayCache
from data.caches.cache_folder import CacheFolder
from data.caches.places import CachePlace, cache_places, fingerprint
from data.geometry import ParallelGeometry
from data.lodopab.dataset import LodopabDataset, LodopabSettings
from data.splits import Split
from protocol.recipe import FREE

Array = NDArray[np.float32]
Reconstruct = Callable[[Array, ParallelGeometry], Array]  # (B, 1, A, D) → (B, 1, N, N)


class ReconstructionSettings(LodopabSettings):
    """The keys of the `data:` section: LoDoPaB-CT's layout, and where reconstructions are kept."""

    cache_folder: CachePlace = None
    cache_gb: Annotated[float, FREE, Field(ge=0, allow_inf_nan=False)] = Field(
        50.0,
        description="the most that all reconstructions kept there may take, in GB; those not used "
        "for the longest time make room; 0 keeps none",
    )

    @property
    def cache(self) -> CacheFolder:
        """The folder that these settings lead to."""
        return CacheFolder(cache_places(self.root, self.cache_folder), self.cache_gb)


class ReconstructedDataset:
    """One split of reconstructions and images, as a map-style data set.

    It may be forked, sent to loader workers and pickled.
    """

    def __init__(
        self,
        settings: ReconstructionSettings,
        split: Split,
        reconstruct: Reconstruct,
        method: Mapping[str, Any],
    ) -> None:
        """Check the headers of the split's files; nothing is reconstructed yet.

        Args:
            settings: of the data and the cache.
            split: train, validation or test.
            reconstruct: the reconstruction of a batch; an image must not depend on its batch.
            method: what `reconstruct` is, as JSON: another method, other reconstructions.

        Raises:
            DataError: a file is missing, truncated or foreign, or splits share patients.
        """
        self._scans = LodopabDataset(settings, split)
        self._reconstruct = reconstruct
        size = self.geometry.image_size
        self._images = ArrayCache(
            settings.cache,
            f"reconstructions of the {split} split",
            {
                "files": [fingerprint(path, path.name) for path in self._scans.observation_files],
                "geometry": vars(self.geometry),
                "method": dict(method),
            },
            (len(self._scans), 1, size, size),
            self._build,
        )

    @property
    def geometry(self) -> ParallelGeometry:
        """The scan that every sinogram of this split comes from."""
        return self._scans.geometry

    def __len__(self) -> int:
        return len(self._scans)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample.

        Returns:
            `fbp` (1, N, N) float32, the reconstruction; `image` (1, N, N) float32 in [0, 1];
            `index` the given one.

        Raises:
            IndexError: `index` is not in 0 … len − 1.
            DataError: a file can no longer be read, holds values no scan has, or `cache_folder`
                cannot be written to.
        """
        image = self._scans.image(index)
        return {"fbp": self._images[index], "image": image, "index": index}

    def _build(self, indices: Sequence[int]) -> Array:
        sinograms = np.stack([self._scans.sinogram(index) for index in indices])
        return self._reconstruct(sinograms, self.geometry)
