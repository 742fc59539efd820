"""A split's patches, each of which knows the volume that it is from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from data.xray_ct.dataset import XrayCtPatches, XrayCtSettings, XrayCtVolumes
from models.family import Batch, Split

SPLITS: tuple[Split, ...] = get_args(Split)


class SplitPatches:
    """The samples of `XrayCtPatches`, with `split` and `case`: numbers that lead to the volume.

    To train and to compare epochs a patch is enough; pictures are of whole volumes.
    """

    def __init__(
        self, settings: XrayCtSettings, split: Split, patch_size: int, *, patches_per_volume: int
    ) -> None:
        """Look at the headers of all the split's files, as `XrayCtPatches` does.

        Raises:
            SettingsError: a patch is larger than a volume.
            DataError: a file is missing or malformed.
        """
        self._patches = XrayCtPatches(
            settings, split, patch_size, patches_per_volume=patches_per_volume
        )
        self._split = SPLITS.index(split)
        self._each = 1 if split == "train" else patches_per_volume

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample: dict[str, Any] = self._patches[index]
        return {**sample, "split": self._split, "case": index // self._each}

    def voxel_size(self, index: int) -> tuple[float, float, float]:
        """The mm between the slices, rows and columns of the volume that patch `index` is from."""
        return self._patches.voxel_size(index)


@dataclass(frozen=True, kw_only=True)
class WholeCase:
    """One case with its whole volume."""

    name: str
    xrays: Tensor  # (2, S, S) in [0, 1]
    ct: Tensor  # (1, D, H, W) in [0, 1]
    seed: int  # fixed, of a case that is not trained on


def volumes_of(settings: XrayCtSettings, batch: Batch) -> Iterator[WholeCase]:
    """The cases that the patches of a batch are from, on the CPU.

    Raises:
        DataError: a file can no longer be read.
    """
    opened: dict[int, XrayCtVolumes] = {}
    for split, case in zip(batch["split"].tolist(), batch["case"].tolist(), strict=True):
        if split not in opened:
            opened[split] = XrayCtVolumes(settings, SPLITS[split])
        yield whole_case(opened[split], case)


def whole_case(volumes: XrayCtVolumes, index: int) -> WholeCase:
    """One of the split's cases, on the CPU.

    Raises:
        DataError: a file can no longer be read.
    """
    sample = volumes[index]
    return WholeCase(
        name=volumes.name(index),
        xrays=torch.as_tensor(sample["xrays"]),
        ct=torch.as_tensor(sample["ct"]),
        seed=int(sample["seed"]),
    )
