"""PSNR and SSIM of each sample, in two conventions that must not be mixed.

* `psnr`, `ssim`: images clamped to [0, 1], data range 1, by piq (SSIM with its 11-pixel Gaussian).
* `psnr_lodopab`, `ssim_lodopab`: the LoDoPaB-CT challenge's. Unclamped, the data range is the
  ground truth's maximum minus minimum, SSIM with a flat 7-pixel window and sample covariances,
  as scikit-image computes it (Leuschner et al., "Quantitative comparison of deep learning-based
  image reconstruction methods", J. Imaging 7 (2021); Wang et al., IEEE TIP 13 (2004), eq. 13).

All take a reconstruction and a ground truth of shape (B, 1, H, W) and return (B,). A sample that
is not finite scores NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import piq
import torch
import torch.nn.functional as F
from torch import Tensor

from models.family import Direction

SMALLEST_ERROR = 1e-12  # of the squared data range: an exact reconstruction scores 120 dB
CHALLENGE_WINDOW = 7  # pixels

DIRECTIONS: Mapping[str, Direction] = {
    "mse": "minimize",
    "psnr": "maximize",
    "ssim": "maximize",
    "psnr_lodopab": "maximize",
    "ssim_lodopab": "maximize",
}


def scores(result: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Every metric of `DIRECTIONS`, each (B,)."""
    return {
        "mse": mse(result, target),
        "psnr": psnr(result, target),
        "ssim": ssim(result, target),
        "psnr_lodopab": psnr_lodopab(result, target),
        "ssim_lodopab": ssim_lodopab(result, target),
    }


def mse(result: Tensor, target: Tensor) -> Tensor:
    """Mean squared error per pixel, shape (B,)."""
    return (result - target).square().mean(dim=(1, 2, 3))


def psnr(result: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB at data range 1, images clamped to [0, 1]; (B,)."""
    return _clamped(piq.psnr, result, target)


def ssim(result: Tensor, target: Tensor) -> Tensor:
    """Structural similarity at data range 1, images clamped to [0, 1]; (B,)."""
    return _clamped(piq.ssim, result, target)


def psnr_lodopab(result: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB at the ground truth's own data range; (B,)."""
    data_range = _data_range(target)
    relative = mse(result / data_range, target / data_range).clamp_min(SMALLEST_ERROR)
    return -10 * relative.log10()


def ssim_lodopab(result: Tensor, target: Tensor) -> Tensor:
    """Structural similarity at the ground truth's own data range; (B,)."""
    data_range = _data_range(target)
    x, y = result / data_range, target / data_range
    pixels = CHALLENGE_WINDOW**2
    unbiased = pixels / (pixels - 1)
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance_x = unbiased * (_local_mean(x * x) - mean_x**2)
    variance_y = unbiased * (_local_mean(y * y) - mean_y**2)
    covariance = unbiased * (_local_mean(x * y) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _local_mean(image: Tensor) -> Tensor:
    return F.avg_pool2d(image, CHALLENGE_WINDOW, stride=1)


def _data_range(target: Tensor) -> Tensor:
    """(B, 1, 1, 1); a constant ground truth, an empty slice, is judged at data range 1."""
    extent = target.amax(dim=(1, 2, 3), keepdim=True) - target.amin(dim=(1, 2, 3), keepdim=True)
    return torch.where(extent > 0, extent, torch.ones_like(extent))


def _clamped(metric: Callable[..., Tensor], result: Tensor, target: Tensor) -> Tensor:
    finite = torch.isfinite(result).flatten(1).all(dim=1)
    # piq refuses NaN by an assertion; a diverged model must get a score that says so instead.
    shown = result.nan_to_num().clamp(0, 1)
    score = metric(shown, target.clamp(0, 1), data_range=1.0, reduction="none")
    return torch.where(finite, score, torch.full_like(score, torch.nan))
