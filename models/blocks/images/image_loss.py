"""Losses between a reconstructed and a true image of intensities in [0, 1]."""

from __future__ import annotations

import piq
import torch
import torch.nn.functional as F
from torch import Tensor

from protocol.errors import SettingsError

WINDOW = 11  # pixels of SSIM's Gaussian, the narrowest image that has an SSIM
# Of the scales, the finest first (Wang et al. 2003); of the first few where an image is small.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_SHARE = 0.84  # of the mixed loss (Zhao et al. 2017)
LEAST_SIMILARITY = 1e-3  # of a scale: with a zero among the factors no other would be learned


def l1_ms_ssim(result: Tensor, target: Tensor) -> dict[str, Tensor]:
    """0.84·(1 − MS-SSIM) + 0.16·L1, as two terms, each a mean over the batch.

    Source: Zhao et al., "Loss functions for image restoration with neural networks", IEEE TCI 3
    (2017), eq. 13, without the Gaussian weighting of L1.

    Args:
        result: (B, 1, H, W).
        target: the same shape.

    Raises:
        SettingsError: a side is narrower than the window of 11 pixels.
    """
    return {
        "ms_ssim": MS_SSIM_SHARE * (1 - ms_ssim(result, target)).mean(),
        "l1": (1 - MS_SSIM_SHARE) * F.l1_loss(result, target),
    }


def ms_ssim(result: Tensor, target: Tensor) -> Tensor:
    """Multi-scale structural similarity at data range 1, images clamped to [0, 1]; (B,).

    Five scales from 176 pixels on; a smaller image has as many as it has room for, their weights
    scaled to sum 1. A sample that is not finite scores NaN.

    Source: Wang et al., "Multi-scale structural similarity for image quality assessment",
    Asilomar 2003, eq. 7.

    Raises:
        SettingsError: a side is narrower than the window of 11 pixels.
    """
    weights = _scale_weights(min(target.shape[-2:]))
    with torch.autocast(target.device.type, enabled=False):
        return _ms_ssim(result.float(), target.float(), weights)


def _ms_ssim(result: Tensor, target: Tensor, weights: list[float]) -> Tensor:
    finite = torch.isfinite(result).flatten(1).all(dim=1)
    # piq refuses NaN by an assertion; a diverged model must get a score that says so instead.
    x, y = result.nan_to_num().clamp(0, 1), target.clamp(0, 1)
    product = torch.ones_like(x[:, 0, 0, 0])
    for number, weight in enumerate(weights):
        if number:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        similarity, contrast = piq.ssim(
            x, y, kernel_size=WINDOW, data_range=1.0, reduction="none", full=True, downsample=False
        )
        # Luminance is compared at the coarsest scale alone.
        factor = similarity if number == len(weights) - 1 else contrast
        product = product * factor.clamp_min(LEAST_SIMILARITY) ** weight
    return torch.where(finite, product, torch.full_like(product, torch.nan))


def _scale_weights(side: int) -> list[float]:
    if side < WINDOW:
        raise SettingsError(
            f"loss: l1_ms_ssim needs images of at least {WINDOW} pixels a side, found {side}; "
            "choose mse or l1"
        )
    scales = sum(side >> number >= WINDOW for number in range(len(SCALE_WEIGHTS)))
    total = sum(SCALE_WEIGHTS[:scales])
    return [weight / total for weight in SCALE_WEIGHTS[:scales]]
