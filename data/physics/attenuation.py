"""From a scan's numbers to normalised attenuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.physics.parallel import MU_MAX
from data.scans.labels import label_count
from protocol.errors import DataError

AIR_HU = -1000.0
AIR, SOFT = (-1300.0, -700.0), (-200.0, 300.0)  # HU, noise, lungs and fat included
_SPREAD = 4  # times their number that labels may reach
LEAST = 0.002  # share of a CT's voxels that is either
MU_WATER, MU_AIR = 20.0, 0.02  # 1/m, Leuschner et al. 2021, "Ground truth"


@dataclass(frozen=True)
class IntensityScale:
    """How a scan's numbers become values in [0, 1].

    Without a range they are HU: μ = HU/1000·(μ_water − μ_air) + μ_water, over μ_max, so that air
    is 0, water 0.246 and 3071 HU is 1 (Leuschner et al. 2021, "Ground truth"). With a range,
    `low` becomes 0 and `high` 1. Both clip what is beyond. NaN, which many scans have beyond the
    field of view, is air.
    """

    range: tuple[float, float] | None = None
    nan_as_air: bool = False  # whether `check` lets NaN pass

    @property
    def air(self) -> float:
        """The value of air, in the scan's numbers."""
        return AIR_HU if self.range is None else self.range[0]

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values in [0, 1], of the same shape."""
        values = np.nan_to_num(values, nan=self.air, posinf=np.inf, neginf=-np.inf)
        if self.range is None:
            scaled = (values * ((MU_WATER - MU_AIR) / 1000) + MU_WATER) / MU_MAX
        else:
            low, high = self.range
            scaled = (values - low) / (high - low)
        return np.clip(scaled, 0, 1).astype(np.float32)

    def check(self, name: str, values: NDArray[np.float32]) -> tuple[str, ...]:
        """Refuse what no scale can help; returns what a user should know of the values.

        Raises:
            DataError: there are voxels that are no numbers; or no range is given and these are not
                HU.
        """
        values, remarks = self._numbers(name, values)
        if self.range is None:
            check_hounsfield(
                name,
                values,
                "give --intensity_range LO HI, of which LO becomes 0 (air) and HI 1 (dense bone; "
                "about four times soft tissue)",
            )
            return remarks
        labels = label_count(values)
        # A phantom of a few tissues has few numbers as well, but not the first ones.
        if labels is not None and (labels == 2 or values.max() <= _SPREAD * labels):
            raise DataError(
                f"{name} holds {labels} different whole numbers from 0 on and nothing else, as "
                "segmentations do; move it elsewhere"
            )
        return remarks

    def _numbers(
        self, name: str, values: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """The voxels that are numbers, all of them if possible, and a remark on the others."""
        if np.isfinite(values.sum(dtype=np.float64)):
            return values, ()
        missing = np.isnan(values)
        count, share = int(missing.sum()), float(missing.mean())
        infinite = int(np.isinf(values).sum())
        if infinite or count == values.size:
            raise DataError(
                f"{name} has {count + infinite} NaN or infinite voxels of {values.size}; replace "
                "them by the value of air, or leave it out"
            )
        if not self.nan_as_air:
            raise DataError(
                f"{name} has {count} NaN voxels ({share:.1%}); if they lie outside the field of "
                "view, give --nan_as_air, else replace them"
            )
        return values[~missing], (f"{count} voxels ({share:.1%}) are NaN, and are taken for air",)


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
