"""Whether what a file holds is a brain by MRI, as its name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.scans.labels import label_count
from protocol.errors import DataError

_LEAST = 4  # voxels of a side
_AIR = (-1100.0, -900.0)  # HU
_SHARE = 0.02  # of the voxels; a CT of a head has far more air


def checked(path: Path, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """A volume's values without those that are no numbers, and what a user should know of them.

    Background is often NaN, as masking by a division leaves it.

    Args:
        values: (slices, rows, columns).

    Raises:
        DataError: it is too flat, holds infinite values, is nothing but NaN, labels, or a CT.
    """
    if min(values.shape) < _LEAST:
        shape = "×".join(map(str, values.shape))
        raise DataError(
            f"{path} has {shape} voxels (slices, rows, columns), expected a whole brain; leave it "
            "out"
        )
    finite = np.isfinite(values)
    missing = int(values.size - finite.sum())
    if missing == values.size or bool(np.isinf(values).any()):
        raise DataError(f"{path} has infinite voxels, or no number at all; leave it out")
    if missing:
        values = np.where(finite, values, np.float32(0))
    labels = label_count(values)
    if labels is not None:
        raise DataError(
            f"{path} holds {labels} different whole numbers, as a label map does, expected "
            "intensities; leave it out, or name it as what it is (…_seg, …_mask)"
        )
    air = float(np.mean((values > _AIR[0]) & (values < _AIR[1])))
    if air > _SHARE:
        raise DataError(
            f"{path} looks like a CT ({air:.0%} of its voxels are near −1000), expected MRI; leave "
            "it out"
        )
    return values, (f"{missing} voxels are NaN, and are taken for 0",) if missing else ()
