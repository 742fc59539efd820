"""Whether a volume's numbers are labels rather than intensities, whatever its name says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 64  # labels; images of 8 bits have about 256 grey values
_LEAST = 512  # numbers, fewer of which tell nothing
_SAMPLED = 1 << 16  # numbers that tell most images at once


def label_count(values: NDArray[np.float32]) -> int | None:
    """How many labels a volume has; None where it has more numbers than labels, or parts of one.

    Args:
        values: of a whole volume, finite.
    """
    flat = values.reshape(-1)
    if flat.size < _LEAST:
        return None
    step = max(1, flat.size // _SAMPLED)
    for part in (flat[::step], flat):
        found = np.unique(part)
        if len(found) > MOST or found[0] < 0 or bool(np.any(found != np.rint(found))):
            return None
    return len(found) if len(found) > 1 else None
