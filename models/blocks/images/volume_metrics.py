"""PSNR, SSIM and mean absolute error of each volume, all voxels counted.

Volumes (B, 1, D, H, W) are on the [0, 1] scale of the data's window of CT numbers: a data range
of 1 is the true one. Results are clamped to it. Every function returns (B,); a sample that is not
finite scores NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, DEVIATION = 11, 1.5  # voxels, of SSIM's Gaussian
C1, C2 = 0.01**2, 0.03**2  # SSIM's constants at data range 1
SMALLEST_ERROR = 1e-12  # of the squared data range: an exact result scores 120 dB


def psnr(result: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB at data range 1; (B,)."""
    return _clamped(lambda x, y: -10 * _mse(x, y).clamp_min(SMALLEST_ERROR).log10(), result, target)


def ssim(result: Tensor, target: Tensor) -> Tensor:
    """Structural similarity at data range 1, as `similarity` but clamped; (B,)."""
    return _clamped(similarity, result, target)


def mae_hu(result: Tensor, target: Tensor, hu_window: tuple[float, float]) -> Tensor:
    """Mean absolute error in Hounsfield units; (B,).

    Args:
        hu_window: the CT numbers that 0 and 1 stand for.
    """
    low, high = hu_window
    error = _clamped(lambda x, y: (x - y).abs().mean(dim=(1, 2, 3, 4)), result, target)
    return (high - low) * error


def similarity(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity in three dimensions at data range 1, differentiable; (B,).

    A Gaussian of 11 voxels, narrower where a volume is; only where it lies inside the volume.
    Computed in single precision also where automatic mixed precision is on.

    Source: Wang et al., "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13 (2004), eq. 13, with the window over three axes.

    Args:
        x, y: (B, 1, D, H, W).
    """
    with torch.autocast(x.device.type, enabled=False):
        # One sample at a time: five blurred copies of a batch of large volumes need not fit.
        pairs = zip(x.float(), y.float(), strict=True)
        return torch.stack([_similarity(one[None], other[None]) for one, other in pairs])


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    taps = _gaussian(min(x.shape[2:]), x)
    mean_x, mean_y = _blurred(x, taps), _blurred(y, taps)
    covariance = _blurred(x * y, taps) - mean_x * mean_y
    variances = _blurred(x * x + y * y, taps) - mean_x.square() - mean_y.square()
    structure = (2 * covariance + C2) / (variances + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    # Of images in [0, 1] it is positive anyway. That of a negative mean would make an inverted
    # image look similar, a minimum of the loss in which networks get stuck.
    return (structure * luminance.clamp_min(0)).mean()


def _gaussian(side: int, like: Tensor) -> Tensor:
    """Weights (n,) of sum 1, n odd and not above `side`."""
    size = min(WINDOW, side - 1 + side % 2)
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    weights = torch.exp(-offsets.square() / (2 * DEVIATION**2))
    return weights / weights.sum()


def _blurred(volume: Tensor, taps: Tensor) -> Tensor:
    """One axis after the other: 33 products a voxel instead of 1331."""
    for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        volume = F.conv3d(volume, taps.reshape(1, 1, *shape))
    return volume


def _mse(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().mean(dim=(1, 2, 3, 4))


def _clamped(metric: Callable[[Tensor, Tensor], Tensor], result: Tensor, target: Tensor) -> Tensor:
    finite = torch.isfinite(result).flatten(1).all(dim=1)
    # Clamped, an infinite voxel would count as a white one.
    score = metric(result.float().clamp(0, 1), target.float().clamp(0, 1))
    return torch.where(finite, score, torch.full_like(score, torch.nan))
