"""Thresholds from volumes whose lesions are known: one for each set of them, and one for all.

A set's own is the published way: where sets differ in size, the larger one would decide for both.

A voxel counts as anomalous when its value is greater than the threshold. Behrendt et al. 2023
bisect for the threshold with the best Dice over all validation voxels; Dice is not unimodal in
the threshold, so that bisection may end beside the best one. It can only be just below a lesion
voxel's value, and sorting tries all of those at once: exact, and no slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.blocks.anomaly.evaluation.postprocess import Mask, Voxels

Rule = Literal["global_dice", "mean_dice", "healthy_percentile"]
Values = NDArray[np.float32]  # (n,) ascending

_MEAN_DICE_CANDIDATES = 1000


@dataclass(frozen=True)
class Sorted:
    """A volume's positive values, ascending, apart by whether they are in a lesion.

    Zeros are left out: no threshold of 0 or more lets them count as anomalous.
    """

    lesion: Values
    healthy: Values
    lesion_voxels: int  # also those of value zero

    @classmethod
    def of(cls, anomaly: Voxels, truth: Mask) -> Sorted:
        """The values of one volume.

        Args:
            anomaly: (Z, H, W), not negative.
            truth: (Z, H, W), the lesions.
        """
        positive = anomaly > 0
        return cls(
            lesion=np.sort(anomaly[positive & truth]),
            healthy=np.sort(anomaly[positive & ~truth]),
            lesion_voxels=int(truth.sum()),
        )

    @classmethod
    def pooled(cls, volumes: Sequence[Sorted]) -> Sorted:
        """All volumes' voxels as if they were one volume's."""
        return cls(
            lesion=np.sort(np.concatenate([volume.lesion for volume in volumes])),
            healthy=np.sort(np.concatenate([volume.healthy for volume in volumes])),
            lesion_voxels=sum(volume.lesion_voxels for volume in volumes),
        )

    def dice(self, thresholds: NDArray[np.floating]) -> NDArray[np.float64]:
        """The Dice coefficient at each threshold, each 0 or more: (n,) → (n,)."""
        hits = len(self.lesion) - np.searchsorted(self.lesion, thresholds, side="right")
        false = len(self.healthy) - np.searchsorted(self.healthy, thresholds, side="right")
        together = hits + false + self.lesion_voxels
        # Nothing predicted and nothing to be found is right.
        return np.where(together > 0, 2 * hits / np.maximum(together, 1), 1.0)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What counts as anomalous, by validation volumes."""

    pooled: float  # of all sets' volumes together
    by_set: Mapping[str, float]  # of each set's own volumes

    def of(self, dataset: str) -> float:
        """A set's own threshold; where it has no validation volumes, that of all others."""
        return self.by_set.get(dataset, self.pooled)


def find_thresholds(
    rule: Rule,
    percentile: float,
    lesions: Sequence[tuple[str, Sorted]],
    healthy: Callable[[], Sequence[Values]],
) -> Thresholds:
    """Those that a rule leads to; see `find_threshold`.

    Args:
        lesions: the validation volumes with lesions, each with the name of its set.
    """
    known = cache(healthy)
    sets: dict[str, list[Sorted]] = {}
    for dataset, volume in lesions:
        sets.setdefault(dataset, []).append(volume)
    by_set = {
        dataset: find_threshold(rule, percentile, volumes, known)
        for dataset, volumes in sets.items()
    }
    if len(by_set) == 1:
        return Thresholds(pooled=next(iter(by_set.values())), by_set=by_set)
    pooled = find_threshold(rule, percentile, [volume for _, volume in lesions], known)
    return Thresholds(pooled=pooled, by_set=by_set)


def find_threshold(
    rule: Rule,
    percentile: float,
    lesions: Sequence[Sorted],
    healthy: Callable[[], Sequence[Values]],
) -> float:
    """The threshold that a rule leads to.

    Args:
        percentile: of rule `healthy_percentile`.
        lesions: the validation volumes with lesions.
        healthy: gives the values inside the eroded brain of each healthy validation volume; asked
            only when the rule needs them.
    """
    match rule:
        case "global_dice":
            return best_global(lesions)
        case "mean_dice":
            return best_mean(lesions)
        case "healthy_percentile":
            return float(np.percentile(np.concatenate(healthy()), percentile))


def best_global(volumes: Sequence[Sorted]) -> float:
    """The threshold with the best Dice over the voxels of all volumes, the highest of equals.

    Where no lesion voxel has a positive value, nothing is best: the highest value there is.
    """
    pooled = Sorted.pooled(volumes)
    candidates = _just_below(np.unique(pooled.lesion), pooled.healthy)
    if candidates.size == 0:
        return float(pooled.healthy[-1]) if pooled.healthy.size else 0.0
    scores = pooled.dice(candidates)
    return float(candidates[np.flatnonzero(scores == scores.max())[-1]])


def best_mean(volumes: Sequence[Sorted]) -> float:
    """The threshold with the best mean Dice of the volumes, out of a thousand lesion values."""
    lesion = np.unique(np.concatenate([volume.lesion for volume in volumes]))
    if lesion.size > _MEAN_DICE_CANDIDATES:
        lesion = lesion[np.linspace(0, lesion.size - 1, _MEAN_DICE_CANDIDATES).astype(int)]
    if lesion.size == 0:
        return best_global(volumes)
    candidates = np.nextafter(lesion, np.float32(0))
    scores = np.mean([volume.dice(candidates) for volume in volumes], axis=0)
    return float(candidates[np.flatnonzero(scores == scores.max())[-1]])


def _just_below(lesion: Values, healthy: Values) -> Values:
    """Halfway between each value and the next lower one, so that rounding changes nothing."""
    position = np.searchsorted(healthy, lesion, side="left")
    none = np.zeros(1, np.float32)
    below_healthy = np.concatenate([none, healthy])[position]
    below_lesion = np.concatenate([none, lesion])[: len(lesion)]
    below = np.maximum(below_healthy, below_lesion)
    halfway = ((below.astype(np.float64) + lesion) / 2).astype(np.float32)
    return np.where(halfway < lesion, halfway, below)
