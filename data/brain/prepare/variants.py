"""Several brains out of one: random poses, shapes, fields and contrasts of a volume.

A variant is not another person. Variants of a few volumes make a set that a training runs on, and
show whether it learns; they do not show how it does on people it has not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.brain.prepare.standard import StandardBrain

SCALES, DEGREES = 0.08, 6.0
CONTROL_POINTS, DISPLACEMENT = 8, 6.0  # of an elastic grid, and millimetres
FIELD, LOG_GAMMA = 0.25, (-0.2, 0.2)


def vary(brain: StandardBrain, rng: np.random.Generator) -> StandardBrain:
    """One variant of a healthy brain; the same generator gives the same one.

    In turn: mirrored left to right or not, an affine and an elastic deformation, a smooth
    multiplicative field, and a change of contrast by a power of the intensity.
    """
    import torch
    import torchio

    parts = {
        "image": torchio.ScalarImage(tensor=brain.image[np.newaxis]),
        "mask": torchio.LabelMap(tensor=brain.mask.astype(np.float32)[np.newaxis]),
    }
    change = torchio.Compose(
        [
            torchio.RandomFlip(axes=(2,), flip_probability=0.5),
            torchio.RandomAffine(scales=SCALES, degrees=DEGREES, default_pad_value=0),
            torchio.RandomElasticDeformation(
                num_control_points=CONTROL_POINTS, max_displacement=_displacement(brain.mask.shape)
            ),
            torchio.RandomBiasField(coefficients=FIELD),
        ]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        changed: Any = change(torchio.Subject(**parts))
    mask = changed["mask"].numpy()[0] > 0
    power = float(np.exp(rng.uniform(*LOG_GAMMA)))
    return StandardBrain(
        image=_with_contrast(changed["image"].numpy()[0] * mask, power),
        mask=mask,
        segmentation=None,
        mask_from=brain.mask_from,
    )


def _displacement(shape: tuple[int, ...]) -> tuple[float, float, float]:
    """Less in a small volume, where the grid is so fine that tissue would fold over."""
    slices, rows, columns = (
        min(DISPLACEMENT, 0.45 * side / (CONTROL_POINTS - 2)) for side in shape
    )
    return slices, rows, columns


def _with_contrast(image: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    highest = max(float(image.max()), 1e-6)
    return np.asarray(highest * (np.maximum(image, 0) / highest) ** power, dtype=np.float32)
