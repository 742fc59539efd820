"""How well a segmentation or an anomaly map agrees with the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.blocks.anomaly.evaluation.postprocess import Mask, Voxels


def dice(predicted: Mask, truth: Mask) -> float:
    """2|A ∩ B| / (|A| + |B|); 1 where nothing was to be found and nothing was.

    Dice, "Measures of the amount of ecologic association between species", 1945.
    """
    together = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / together if together else 1.0


def average_precision(anomaly: Voxels, truth: Mask) -> float | None:
    """The area under the precision-recall curve over all of a volume's voxels, as Σ ΔR·P.

    None where there is no lesion, for recall has no meaning then.
    """
    if not truth.any():
        return None
    from sklearn.metrics import average_precision_score  # takes a second to import

    return float(average_precision_score(truth.ravel(), anomaly.ravel()))


def mean_absolute_error(image: Voxels, reconstruction: Voxels, where: Mask | None = None) -> float:
    """The mean of |image − reconstruction| over all voxels, or over those of a mask."""
    error: NDArray[np.float64] = np.abs(image.astype(np.float64) - reconstruction)
    return float(error.mean() if where is None else error[where].mean())
