"""From a scan's numbers to normalised attenuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.physics.parallel import MU_MAX
from data.scans.labels import label_count
from protocol.errors import DataError

AIR, SOFT = (-1300.0, -700.0), (-200.0, 300.0)  # HU, noise, lungs and fat included
_SPREAD = 4  # times their number that labels may reach
LEAST = 0.002  # share of a CT's voxels that is either
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
        if self.range is None:
            check_hounsfield(
                name,
                values,
                "give --intensity_range LO HI, of which LO becomes 0 (air) and HI 1 (dense bone; "
                "about four times soft tissue)",
            )
            return
        labels = label_count(values)
        # A phantom of a few tissues has few numbers as well, but not the first ones.
        if labels is not None and (labels == 2 or values.max() <= _SPREAD * labels):
            raise DataError(
                f"{name} holds {labels} different whole numbers from 0 on and nothing else, as "
                "segmentations do; move it elsewhere"
            )


def check_hounsfield(name: object, values: NDArray[np.float32], way: str) -> None:
    """Refuse a volume that is not in Hounsfield units, by where most of its voxels are.

    Single voxels tell nothing: padding, ringing and noise have any value.

    Args:
        name: of the scan or file, for the message.
        values: of a whole volume.
        way: what to do otherwise.

    Raises:
        DataError: hardly any voxel is air, or hardly any is soft tissue.
    """
    air = float(np.mean((values > AIR[0]) & (values < AIR[1])))
    soft = float(np.mean((values > SOFT[0]) & (values < SOFT[1])))
    if air >= LEAST and soft >= LEAST:
        return
    raise DataError(
        f"{name} has values from {float(values.min()):g} to {float(values.max()):g}, {air:.1%} of "
        f"them near air (−1000) and {soft:.1%} near soft tissue (0), so it is not in Hounsfield "
        f"units; {way}"
    )
