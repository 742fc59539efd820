"""What `infer` shows of its result: the X-rays, and three planes of the volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from models.blocks.images.volume_pictures import PLANES, middle_planes
from models.family import Volume
from models.pictures import Panel, Picture

WINDOW = (-1000.0, 1000.0)  # HU of black and white

Image = NDArray[np.float32]


def inferred_picture(xrays: Tensor, volume: Volume, name: str) -> Picture:
    """The views and the middle planes, each with pixels that are square in the patient.

    Args:
        xrays: (2, H, W) in [0, 1], the front view first.
        volume: what was made of them.
        name: for the title.
    """
    views = [
        Panel(title=title, image=image.numpy().astype(np.float32), window=(0.0, 1.0))
        for title, image in zip(("Front X-ray", "Lateral X-ray"), xrays.cpu(), strict=True)
    ]
    depth, height, width = volume.voxel_size
    pixels = ((height, width), (depth, width), (depth, height))  # axial, coronal, sagittal
    planes = [
        Panel(title=title, image=_square(plane, pixel))
        for title, plane, pixel in zip(PLANES, middle_planes(volume.hu), pixels, strict=True)
    ]
    low, high = WINDOW
    return Picture(
        name="inferred",
        title=f"{name}, {low:g} to {high:g} HU",
        panels=[*views, *planes],
        window=WINDOW,
    )


def _square(plane: Image, pixel: tuple[float, float]) -> Image:
    """A plane resampled to the smaller of its pixels' two sides (mm)."""
    side = min(pixel)
    size = [max(1, round(count * mm / side)) for count, mm in zip(plane.shape, pixel, strict=True)]
    if size == list(plane.shape):
        return plane
    tensor = Tensor(np.ascontiguousarray(plane))[None, None]
    resampled: Image = interpolate(tensor, size=size, mode="bilinear")[0, 0].numpy()
    return resampled
