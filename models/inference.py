"""What `infer` gets from a family that turns X-rays into a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A CT volume in patient space.

    Its axes run from head to feet, from front to back, and from the patient's right to the left.
    """

    hu: NDArray[np.float32]  # (D, H, W)
    voxel_size: tuple[float, float, float]  # mm, along the same axes
