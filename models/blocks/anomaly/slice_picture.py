"""A slice, its reconstruction and what is left of it, as a radiologist would compare them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.blocks.images import metrics
from models.pictures import Panel, Picture


def slice_picture(
    index: int, image: Tensor, result: Tensor, mask: Tensor, timesteps: Sequence[int]
) -> Picture:
    """One slice's panels, brain only, in the original's window.

    Args:
        image, result, mask: (1, H, W), intensities in [0, 1].
        timesteps: those that the reconstruction averages over.
    """
    original, shown = image * mask, result.detach() * mask
    residual = original - shown
    inside = float(mask.sum())
    error = float(residual.abs().sum()) / max(inside, 1.0)
    psnr = float(metrics.psnr(shown[None], original[None]))
    ssim = float(metrics.ssim(shown[None], original[None]))
    steps = ", ".join(str(timestep) for timestep in timesteps)
    return Picture(
        name=f"slice_{index:05d}",
        title=f"Slice {index}, reconstructed from t = {steps}",
        panels=(
            Panel(title="Original", image=_array(original), role="target"),
            Panel(
                title=f"Reconstruction\nPSNR {psnr:.2f} dB, SSIM {ssim:.3f}",
                image=_array(shown),
                role="result",
            ),
            Panel(
                title=f"Original − reconstruction\nmean |difference| in the brain {error:.4f}",
                image=_array(residual),
                difference=True,
            ),
        ),
        window=(0.0, max(float(original.max()), 1e-3)),
    )


def _array(image: Tensor) -> NDArray[np.float32]:
    return image.detach().squeeze(0).float().cpu().numpy()
