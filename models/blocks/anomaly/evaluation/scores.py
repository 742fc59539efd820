"""How well a segmentation or an anomaly map agrees with the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.scans.volume import Millimetres
from models.blocks.anomaly.evaluation.postprocess import Mask, Voxels

Scores = Mapping[str, float | None]


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


def roc_auc(anomaly: Voxels, truth: Mask) -> float | None:
    """The area under the curve of true over false positives, over all of a volume's voxels.

    None where there is no lesion, or nothing else.
    """
    if not truth.any() or truth.all():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth.ravel(), anomaly.ravel()))


def precision(predicted: Mask, truth: Mask) -> float:
    """The share of what was found that is a lesion; 0 where nothing was found."""
    return int((predicted & truth).sum()) / max(1, int(predicted.sum()))


def recall(predicted: Mask, truth: Mask) -> float | None:
    """The share of the lesions that was found; None where there is none."""
    return int((predicted & truth).sum()) / int(truth.sum()) if truth.any() else None


def hausdorff(predicted: Mask, truth: Mask, voxel_size: Millimetres) -> float | None:
    """The farthest that a surface is from the other, in mm; None where one of them is empty."""
    if not predicted.any() or not truth.any():
        return None
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, truth)]
    farthest = [
        ndimage.distance_transform_edt(~other, sampling=voxel_size)[own].max()
        for own, other in (surfaces, surfaces[::-1])
    ]
    return float(max(farthest))


def slice_scores(anomaly: Voxels, threshold: float, truth: Mask, brain: Mask) -> Scores:
    """A volume's scores slice by slice, as published; None where it has no lesion.

    Dice, precision and recall are means over the slices with a lesion, of all that is above the
    threshold, small components too. The two areas are of telling those slices from the others by
    the mean anomaly in their brain.
    """
    sick: Mask = np.asarray(truth.any(axis=(1, 2)))
    counts = brain.sum(axis=(1, 2))
    means = np.where(brain, anomaly, 0).sum(axis=(1, 2)) / np.maximum(counts, 1)
    found = anomaly > np.float32(threshold)
    pairs = [(found[z], truth[z]) for z in np.flatnonzero(sick)]

    def mean(score: Callable[[Mask, Mask], float | None]) -> float | None:
        return float(np.mean([score(*pair) for pair in pairs])) if pairs else None

    return {
        "slice_dice": mean(dice),
        "slice_precision": mean(precision),
        "slice_recall": mean(recall),
        "slice_roc_auc": roc_auc(means, sick),
        "slice_auprc": average_precision(means, sick),
    }


def mean_absolute_error(image: Voxels, reconstruction: Voxels, where: Mask | None = None) -> float:
    """The mean of |image − reconstruction| over all voxels, or over those of a mask."""
    error: NDArray[np.float64] = np.abs(image.astype(np.float64) - reconstruction)
    return float(error.mean() if where is None else error[where].mean())
