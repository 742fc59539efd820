"""What the families that make CT volumes share: scale, voxel size and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from data.xray_ct.images import resize_xrays
from models.blocks.images.volume_metrics import mae_hu, psnr, ssim
from models.family import Direction, Volume
from models.program import XraysProgram

DIRECTIONS: Mapping[str, Direction] = {
    "psnr": "maximize",
    "ssim": "maximize",
    "mae_hu": "minimize",
}
MOST_LOOKED_AT = 64  # cases, for the usual voxel size

HuWindow = tuple[float, float]  # the CT numbers that 0 and 1 stand for


class SizedVolumes(Protocol):
    """A data set that knows how large its voxels are."""

    def __len__(self) -> int: ...

    def voxel_size(self, index: int) -> tuple[float, float, float]: ...


def scores(result: Tensor, target: Tensor, hu_window: HuWindow) -> dict[str, Tensor]:
    """Every metric of `DIRECTIONS` for each sample, each (B,); see `volume_metrics`."""
    return {
        "psnr": psnr(result, target),
        "ssim": ssim(result, target),
        "mae_hu": mae_hu(result, target, hu_window),
    }


def volume_scores(result: Tensor, target: Tensor, hu_window: HuWindow) -> dict[str, float]:
    """Mean absolute error in HU, PSNR in dB and SSIM of one volume, at the window's data range.

    Args:
        result, target: (1, D, H, W) in [0, 1].
    """
    found = scores(result[None], target[None], hu_window)
    return {name: float(found[name]) for name in ("mae_hu", "psnr", "ssim")}


def usual_voxel_size(volumes: SizedVolumes) -> Tensor:
    """The median voxel size of some cases, (3,) float32 in mm."""
    looked_at = np.linspace(0, len(volumes) - 1, min(len(volumes), MOST_LOOKED_AT)).round()
    sizes = [volumes.voxel_size(int(index)) for index in looked_at]
    return torch.tensor(np.median(sizes, axis=0), dtype=torch.float32)


@torch.no_grad()
def volume_of(program: XraysProgram, xrays: Tensor) -> Volume:
    """The CT of two X-rays (2, H, W) in [0, 1] of any size, on the program's device."""
    seen = resize_xrays(xrays, program.xray_size)
    (hu,) = program(seen[None])
    return Volume(hu=hu[0].cpu().numpy(), voxel_size=program.voxel_size)
