"""What lies together above a threshold, in a table from which every limit of size is read off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.blocks.anomaly.evaluation.postprocess import ALL_NEIGHBOURS, Mask

Table = NDArray[np.int64]  # (components, 2): voxels, and how many of them are lesion


def component_table(predicted: Mask, truth: Mask) -> Table:
    """Every 26-connected component of `predicted`."""
    labels, count = ndimage.label(predicted, ALL_NEIGHBOURS)
    sizes = np.bincount(labels[predicted], minlength=count + 1)[1:]
    hits = np.bincount(labels[predicted & truth], minlength=count + 1)[1:]
    return np.stack([sizes, hits], axis=1)


def dice_without_small(table: Table, lesion_voxels: int, largest_dropped: int) -> float:
    """Dice once the components of `largest_dropped` voxels or fewer are gone."""
    voxels, hits = table[table[:, 0] > largest_dropped].sum(axis=0)
    together = int(voxels) + lesion_voxels
    return 2 * int(hits) / together if together else 1.0
