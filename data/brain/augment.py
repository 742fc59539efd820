"""Healthy volumes as another scanner might have shown them: changes of intensity, not of shape.

The four changes, their order and their probabilities are those of the public code of Behrendt et
al., "Guided reconstruction with conditioned diffusion models for unsupervised anomaly detection in
brain MRIs" (2023); their strengths are torchio's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.scans.volume import Millimetres

GAMMA, BIAS_FIELD, BLUR, GHOSTING = 0.5, 0.25, 0.25, 0.5  # how often each is applied


def augmented(image: NDArray[np.float32], voxel_size: Millimetres) -> NDArray[np.float32]:
    """A volume, changed by what torch's global generator draws.

    Args:
        image: (Z, H, W) in [0, 1].
        voxel_size: between slices, rows and columns: blurring is in millimetres.

    Returns:
        (Z, H, W); values may leave [0, 1] a little, as published.
    """
    import torchio  # takes seconds to import, and is not needed by others

    tensor = np.array(image, dtype=np.float32)[np.newaxis]
    volume = torchio.ScalarImage(tensor=tensor, affine=np.diag([*voxel_size, 1.0]))
    changed: NDArray[np.float32] = _changes()(volume).numpy()[0]
    return changed.astype(np.float32, copy=False)


@lru_cache(maxsize=1)
def _changes() -> Any:
    import torchio

    return torchio.Compose(
        [
            torchio.RandomGamma(p=GAMMA),
            torchio.RandomBiasField(p=BIAS_FIELD),
            torchio.RandomBlur(p=BLUR),
            torchio.RandomGhosting(p=GHOSTING),
        ]
    )
