"""How near a sampled volume comes to its target."""

from __future__ import annotations

from torch import Tensor

from models.blocks.volume_metrics import mae_hu, psnr, ssim


def volume_scores(
    result: Tensor, target: Tensor, hu_window: tuple[float, float]
) -> dict[str, float]:
    """Mean absolute error in HU, PSNR in dB and SSIM of one volume, at the window's data range.

    Args:
        result, target: (1, D, H, W) in [0, 1].
        hu_window: the CT numbers that 0 and 1 stand for.
    """
    one, other = result[None], target[None]
    return {
        "mae_hu": float(mae_hu(one, other, hu_window)),
        "psnr": float(psnr(one, other)),
        "ssim": float(ssim(one, other)),
    }
