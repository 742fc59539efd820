"""Brain MRI: slices of healthy volumes to train on, whole volumes with lesions to judge by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data.brain.augment import augmented_slice
from data.brain.cache import BrainCache
from data.brain.layout import count_folds, lesion_sets
from data.brain.lists import Case, healthy_cases, lesion_cases
from data.brain.overlap import check_overlap
from data.brain.prepare.phantoms import BRAIN_PHANTOMS
from data.brain.settings import BrainSettings
from data.brain.store import CachedVolume
from data.seeds import drawn_seed, fixed_seed
from data.splits import Split
from protocol.errors import DataError

__all__ = ["BrainSettings", "BrainSlices", "BrainVolume", "BrainVolumes", "available_folds"]

Kind = Literal["healthy", "lesion"]


def available_folds(settings: BrainSettings) -> int:
    """How many folds the data set has; phantoms are made first if that is asked for.

    Raises:
        DataError: `root` is not of the brain-MRI layout.
    """
    _ensure(settings)
    return count_folds(settings.root)


class BrainSlices:
    """One split's healthy slices, as a map-style data set.

    To train on, a sample is a volume, of which every look takes another slice; to validate and
    test on, a sample is a slice. It may be forked and pickled: volumes are memory-mapped.
    """

    def __init__(self, settings: BrainSettings, split: Split) -> None:
        """Check the lists, and preprocess the split's volumes unless they are cached.

        Raises:
            DataError: a list or volume is missing or malformed, or splits share subjects.
        """
        _ensure(settings)
        check_overlap(settings)
        self.split = split
        self._smallest_brain = settings.smallest_brain
        self._augmented = split == "train" and settings.augment == "intensity"
        self._cases = healthy_cases(settings.root, split, settings.fold, settings.mode)
        self._cache = BrainCache(settings)
        self._cache.prepare(self._cases)
        self._slices: list[tuple[int, int]] | None = None  # (case, slice); None to train on
        if split != "train":
            limit = settings.validation_slices if split == "validation" else None
            self._slices = [
                (number, int(z))
                for number, case in enumerate(self._cases)
                for z in _spread(self._with_brain(case), limit)
            ]

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subject of each sample."""
        if self._slices is None:
            return tuple(case.subject for case in self._cases)
        return tuple(self._cases[number].subject for number, _ in self._slices)

    def __len__(self) -> int:
        return len(self._cases if self._slices is None else self._slices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample.

        To train on, the slice, its augmentation and the seed come from torch's global generator.

        Returns:
            `image` (1, H, W) float32 in [0, 1], zero outside the brain, of which augmentation may
            leave either a little; `mask` (1, H, W) float32
            of 0 and 1; `index` the given one; `seed`, a whole number from which the sample's own
            noise and time step are to be derived.

        Raises:
            IndexError: `index` is not in 0 … len − 1.
            DataError: the volume can no longer be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        if self._slices is None:
            case = self._cases[index]
            slices = self._with_brain(case)
            number = int(slices[torch.randint(len(slices), ())])
            seed = drawn_seed()
        else:
            place, number = self._slices[index]
            case = self._cases[place]
            seed = fixed_seed(f"{case.dataset}/{case.subject}/{number}")
        volume = self._cache.volume(case)
        records = volume.records[number]
        image = np.ascontiguousarray(records["image"])
        if self._augmented:
            image = augmented_slice(volume.records["image"], number, volume.voxel_size)
        return {
            "image": image[np.newaxis],
            "mask": records["mask"].astype(np.float32)[np.newaxis],
            "index": index,
            "seed": seed,
        }

    def _with_brain(self, case: Case) -> NDArray[np.intp]:
        """The numbers of the slices that show enough brain."""
        shares = self._cache.volume(case).brain_share
        found = np.flatnonzero((shares >= self._smallest_brain) & (shares > 0))
        if not len(found):
            raise DataError(
                f"{case.mask or case.image}: no slice has {self._smallest_brain:.3g} or more of "
                f"brain, the most is {shares.max():.3g}; correct the mask, or lower "
                "data.smallest_brain"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class BrainVolume:
    """A whole preprocessed volume; all (Z, H, W), from the lowest slice up."""

    name: str  # the subject's
    dataset: str  # IXI for the healthy, or the set of lesions
    image: NDArray[np.float32]  # in [0, 1], zero outside the brain
    mask: NDArray[np.bool_]
    segmentation: NDArray[np.bool_]  # of the lesions; empty for the healthy
    voxel_size: tuple[float, float, float]  # millimetres between slices, rows and columns


class BrainVolumes:
    """The whole volumes of a split, healthy ones or those with lesions; each is read when asked."""

    def __init__(self, settings: BrainSettings, split: Split, kind: Kind) -> None:
        """Check the lists, and preprocess the volumes unless they are cached.

        Raises:
            DataError: a list or volume is missing or malformed, or splits share subjects.
        """
        _ensure(settings)
        check_overlap(settings)
        if kind == "healthy":
            self._cases = healthy_cases(settings.root, split, settings.fold, settings.mode)
        else:
            self._cases = [
                case
                for dataset in lesion_sets(settings.root, settings.lesions)
                for case in lesion_cases(settings.root, dataset, split, settings.mode)
            ]
        self._cache = BrainCache(settings)
        self._cache.prepare(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> BrainVolume:
        """One volume.

        Raises:
            IndexError: `index` is not in 0 … len − 1.
            DataError: the volume can no longer be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"volume {index} of {len(self)}")
        case = self._cases[index]
        return _whole(case, self._cache.volume(case))

    def __iter__(self) -> Iterator[BrainVolume]:
        return (self[index] for index in range(len(self)))


def _whole(case: Case, volume: CachedVolume) -> BrainVolume:
    return BrainVolume(
        name=case.subject,
        dataset=case.dataset,
        image=np.ascontiguousarray(volume.records["image"]),
        mask=np.ascontiguousarray(volume.records["mask"]),
        segmentation=np.ascontiguousarray(volume.records["segmentation"]),
        voxel_size=volume.voxel_size,
    )


def _ensure(settings: BrainSettings) -> None:
    if settings.generate is not None:
        BRAIN_PHANTOMS.ensure(settings.root, settings.generate)


def _spread(numbers: NDArray[np.intp], limit: int | None) -> NDArray[np.intp]:
    """At most `limit` of them, in the middles of as many equal parts."""
    if limit is None or limit >= len(numbers):
        return numbers
    places = (np.arange(limit) + 0.5) * len(numbers) / limit
    return numbers[places.astype(int)]
