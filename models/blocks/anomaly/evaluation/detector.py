"""A residual, filtered and thresholded: what one method takes for an anomaly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from data.brain.dataset import BrainVolume
from models.blocks.anomaly.evaluation.parameters import PUBLISHED_MEDIAN_SIZE, Parameters
from models.blocks.anomaly.evaluation.postprocess import (
    Mask,
    Voxels,
    drop_small_components,
    eroded,
    filtered_residual,
    masked_median,
)
from models.blocks.anomaly.evaluation.threshold import (
    Sorted,
    Thresholds,
    Values,
    find_thresholds,
)


@dataclass(frozen=True)
class Detector:
    """One way to a segmentation; only its residual tells it from another."""

    residual: Callable[[BrainVolume], Voxels]  # (Z, H, W), not negative
    parameters: Parameters

    def anomaly(self, volume: BrainVolume) -> Voxels:
        """The filtered residual, (Z, H, W)."""
        return filtered_residual(self.residual(volume), volume.mask, self.parameters.filtering)

    def found(self, anomaly: Voxels, threshold: float) -> Mask:
        """The segmentation, (Z, H, W)."""
        return drop_small_components(
            anomaly > np.float32(threshold), self.parameters.largest_dropped
        )

    def thresholds(
        self, lesions: Iterable[BrainVolume], healthy: Iterable[BrainVolume]
    ) -> Thresholds:
        """For all volumes and for each set, by the parameters' rule, of validation volumes."""
        parameters = self.parameters
        return find_thresholds(
            parameters.rule,
            parameters.percentile,
            [
                (volume.dataset, Sorted.of(self.anomaly(volume), volume.segmentation))
                for volume in lesions
            ],
            lambda: [self._inside(volume) for volume in healthy],
        )

    def _inside(self, volume: BrainVolume) -> Values:
        return self.anomaly(volume)[eroded(volume.mask, self.parameters.erosion)]


def floor_residual(volume: BrainVolume) -> Voxels:
    """What needs no learning: the difference from the volume's own median filter, in the brain."""
    smooth = masked_median(volume.image, volume.mask, PUBLISHED_MEDIAN_SIZE)
    difference: Voxels = np.abs(volume.image - smooth)
    return difference
