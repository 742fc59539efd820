"""The picture of a reconstruction beside its target and what it was made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.blocks.images import metrics
from models.pictures import Panel, Picture


def compare(
    indices: Tensor,
    targets: Tensor,
    inputs: tuple[str, Tensor],
    results: Tensor,
    *,
    upright: bool = True,
) -> list[Picture]:
    """Target, input, result and difference of each sample, in the target's window.

    Args:
        indices: (B,), the samples' names.
        targets: (B, 1, N, N).
        inputs: their title, and the images that the results were made from, (B, 1, N, N).
        results: (B, 1, N, N).
        upright: whether images are as they are looked at, or transposed.
    """
    name, given = inputs
    if not upright:
        targets, given, results = (images.mT for images in (targets, given, results))
    return [
        _picture(int(index), target, (name, image), result)
        for index, target, image, result in zip(indices, targets, given, results, strict=True)
    ]


def _picture(index: int, target: Tensor, given: tuple[str, Tensor], result: Tensor) -> Picture:
    """One sample's panels, from images (1, N, N)."""
    name, image = given
    return Picture(
        name=f"sample_{index:05d}",
        title=f"Sample {index}",
        panels=(
            Panel(title="Target", image=_array(target), role="target"),
            Panel(title=_scored(name, image, target), image=_array(image), role="baseline"),
            Panel(title=_scored("Result", result, target), image=_array(result), role="result"),
            Panel(title="Result − target", image=_array(result - target), difference=True),
        ),
        window=(float(target.min()), float(target.max())),
    )


def _scored(name: str, image: Tensor, target: Tensor) -> str:
    psnr = float(metrics.psnr(image[None], target[None]))
    ssim = float(metrics.ssim(image[None], target[None]))
    return f"{name}\nPSNR {psnr:.2f} dB, SSIM {ssim:.3f}"


def _array(image: Tensor) -> NDArray[np.float32]:
    return image.squeeze(0).float().cpu().numpy()
