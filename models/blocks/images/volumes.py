"""What the families that make CT volumes share: scale, voxel size and scores."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.blocks.images.volume_metrics import mae_hu, psnr, ssim
from models.evaluation import Volume

MOST_LOOKED_AT = 64  # cases, for the usual voxel size

Window = tuple[float, float]  # the CT numbers that 0 and 1 stand for


class SizedVolumes(Protocol):
    """A data set that knows how large its voxels are."""

    def __len__(self) -> int: ...

    def voxel_size(self, index: int) -> tuple[float, float, float]: ...


def scores(result: Tensor, target: Tensor, hu_window: Window) -> dict[str, Tensor]:
    """PSNR, SSIM and mean absolute error in HU of each sample, (B,), see `volume_metrics`."""
    return {
        "psnr": psnr(result, target),
        "ssim": ssim(result, target),
        "mae_hu": mae_hu(result, target, hu_window),
    }


def usual_voxel_size(volumes: SizedVolumes) -> Tensor:
    """The median voxel size of some cases, (3,) float32 in mm."""
    looked_at = np.linspace(0, len(volumes) - 1, min(len(volumes), MOST_LOOKED_AT)).round()
    sizes = [volumes.voxel_size(int(index)) for index in looked_at]
    return torch.tensor(np.median(sizes, axis=0), dtype=torch.float32)


def as_volume(result: Tensor, hu_window: Window, voxel_size: Tensor) -> Volume:
    """A result (1, 1, D, H, W) in [0, 1] as CT numbers in patient space.

    Args:
        voxel_size: (3,) in mm.
    """
    low, high = hu_window
    hu = low + (high - low) * result[0, 0].float().clamp(0, 1)
    depth, height, width = (float(size) for size in voxel_size)
    return Volume(hu=hu.cpu().numpy(), voxel_size=(depth, height, width))
