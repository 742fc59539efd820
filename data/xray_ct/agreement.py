"""Do the X-rays and the volume of a case lie the same way up?

Rows of both views are the volume's slices, so what a row of the X-rays adds up to goes with what a
slice does. In data sets from elsewhere one of the two may be upside down, and nothing fails then
but the training.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLEARLY = 0.2  # more correlation one way than the other, so that it is no chance

Array = NDArray[np.float32]


def upside_down(xrays: Array, volume: Array) -> bool:
    """Whether the volume fits its X-rays clearly better with its slices in reverse.

    Args:
        xrays: (2, S, S).
        volume: (1, D, H, W).
    """
    rows = xrays.mean(axis=(0, 2), dtype=np.float64)
    slices = volume.mean(axis=(0, 2, 3), dtype=np.float64)
    places = (np.arange(len(slices)) + 0.5) / len(slices) * len(rows) - 0.5
    seen = np.interp(places, np.arange(len(rows)), rows)
    if not (seen.std() > 0 and slices.std() > 0):
        return False
    as_stored = float(np.corrcoef(seen, slices)[0, 1])
    reversed_ = float(np.corrcoef(seen, slices[::-1])[0, 1])
    return reversed_ - as_stored > CLEARLY
