"""What was found of a lesion, beside what is there."""

from __future__ import annotations

import numpy as np

from data.brain.dataset import BrainVolume
from models.blocks.anomaly.evaluation.postprocess import Mask, Voxels
from models.pictures import Panel, Picture

TRUTH, FOUND = "lime", "red"


def lesion_picture(
    volume: BrainVolume,
    reconstruction: Voxels,
    anomaly: Voxels,
    found: Mask,
    *,
    threshold: float,
    title: str,
) -> Picture:
    """The slice with most lesion; without a lesion, with most found, or the brain's largest."""
    index = slice_to_show(volume, found)
    image, truth = volume.image[index], volume.segmentation[index]
    brightest = max(2 * threshold, float(anomaly[index].max()), 1e-6)
    return Picture(
        name=volume.name,
        title=f"{title}\nslice {index}; truth green, found red",
        panels=[
            Panel(title="Slice", image=image),
            Panel(title="Reconstruction", image=reconstruction[index]),
            Panel(
                title=f"Filtered residual, 0 to {brightest:.3f}",
                image=anomaly[index],
                window=(0.0, brightest),
            ),
            Panel(
                title="Found and truth",
                image=image,
                outlines={FOUND: found[index], TRUTH: truth},
            ),
        ],
        window=(0.0, 1.0),
    )


def slice_to_show(volume: BrainVolume, found: Mask) -> int:
    """The index of the slice that says most."""
    for mask in (volume.segmentation, found, volume.mask):
        if mask.any():
            return int(np.argmax(mask.sum(axis=(1, 2))))
    return len(volume.image) // 2
