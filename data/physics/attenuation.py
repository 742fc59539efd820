"""From a scan's numbers to normalised attenuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.physics.parallel import MU_MAX
from protocol.errors import DataError

MU_WATER, MU_AIR = 20.0, 0.02  # 1/m, Leuschner et al. 2021, "Ground truth"


@dataclass(frozen=True)
class IntensityScale:
    """How a scan's numbers become values in [0, 1].

    Without a range they are HU: μ = HU/1000·(μ_water − μ_air) + μ_water, over μ_max, so that air
    is 0, water 0.246 and 3071 HU is 1 (Leuschner et al. 2021, "Ground truth"). With a range,
    `low` becomes 0 and `high` 1. Both clip what is beyond.
    """

    range: tuple[float, float] | None = None

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values in [0, 1], of the same shape."""
        if self.range is None:
            scaled = (values * ((MU_WATER - MU_AIR) / 1000) + MU_WATER) / MU_MAX
        else:
            low, high = self.range
            scaled = (values - low) / (high - low)
        return np.clip(scaled, 0, 1).astype(np.float32)

    def check(self, name: str, values: NDArray[np.float32]) -> None:
        """Refuse what no scale can help.

        Raises:
            DataError: there are non-finite voxels; or no range is given and these are not HU.
        """
        bad = int(values.size - np.isfinite(values).sum())
        if bad:
            raise DataError(
                f"{name} has {bad} NaN or infinite voxels; replace them by the value of air"
            )
        low, high = float(values.min()), float(values.max())
        if self.range is None and (low >= 0 or (low >= -2 and high <= 2)):
            raise DataError(
                f"{name} has values from {low:g} to {high:g}, so it is not in Hounsfield units "
                "(air is −1000); give --intensity_range LO HI, of which LO becomes 0 (air) and HI "
                "1 (dense bone; about four times soft tissue)"
            )
