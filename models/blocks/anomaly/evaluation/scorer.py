"""Scores proposals for the evaluation's parameters on residuals that lie on disk.

A proposal costs what has not been computed before: the filtered residuals of its time steps,
erosion and median, then the threshold of its rule, then a look at a table of components. Each is
kept in the store, which other processes use as well.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.blocks.anomaly.evaluation.components import component_table, dice_without_small
from models.blocks.anomaly.evaluation.parameters import Parameters, spelled
from models.blocks.anomaly.evaluation.postprocess import Mask, Voxels, eroded, filtered_residual
from models.blocks.anomaly.evaluation.reconstructions import (
    averaged,
    case_file,
    reconstruction_file,
)
from models.blocks.anomaly.evaluation.threshold import Sorted, Values, find_thresholds
from models.blocks.arrays import load_array, save_array

KEPT_BYTES = 4 << 30  # of filtered residuals of one checkpoint
COLUMNS = 3  # of the table of all volumes: the volume's index, and a component's voxels and hits

T = TypeVar("T")


def score(
    tasks: Sequence[Mapping[str, Any]], candidates: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The mean Dice of the validation volumes for each proposal, and over folds its mean.

    Args:
        tasks: one a fold, as `tuning_of` made them.
        candidates: points of the tuning space.

    Returns:
        {"scores": [{"value": mean Dice, "thresholds": [{set: one} a fold]}, ...]}.
    """
    folds = [Residuals(task) for task in tasks]
    scores = [_score(folds, candidate) for candidate in candidates]
    for fold in folds:
        fold.trim()
    return {"scores": scores}


def _score(folds: Sequence[Residuals], candidate: Mapping[str, Any]) -> dict[str, Any]:
    found = [fold.dice(fold.parameters(candidate)) for fold in folds]
    return {
        "value": float(np.mean([value for value, _ in found])),
        "thresholds": [threshold for _, threshold in found],
    }


class Residuals:
    """The residuals of one checkpoint's validation volumes, and what was derived from them."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        self._store = Path(task["store"])
        self._lesions: list[str] = task["lesions"]
        # A set's name for each volume; a task of before there were sets has one for all.
        self._sets: list[str] = task.get("sets", [""] * len(self._lesions))
        self._healthy: list[str] = task["healthy"]
        self._defaults: dict[str, Any] = task["defaults"]
        self._truths: list[Mask] = _each(lambda key: self._case("truth", key), self._lesions)
        self._lesion_voxels = [int(truth.sum()) for truth in self._truths]
        self._digest = _digest(self._lesions + self._healthy + self._sets, self._truths)

    def parameters(self, candidate: Mapping[str, Any]) -> Parameters:
        """A proposal, with the defaults for what it leaves open."""
        return Parameters.model_validate({**self._defaults, **candidate})

    def dice(self, parameters: Parameters) -> tuple[float, dict[str, float]]:
        """The mean Dice over the volumes with lesions, and each set's threshold that led to it."""
        thresholds, table = self._components(parameters)
        scores = [
            dice_without_small(table[table[:, 0] == index, 1:], voxels, parameters.largest_dropped)
            for index, voxels in enumerate(self._lesion_voxels)
        ]
        names = sorted(set(self._sets))
        return float(np.mean(scores)), dict(zip(names, map(float, thresholds), strict=True))

    def _components(self, parameters: Parameters) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The rule's threshold for each set, by name, and what is above: (sets,), (n, COLUMNS)."""
        name = f"{_filtering_name(parameters)}_{self._digest}_{_rule_name(parameters)}"
        place = self._store / "components"
        thresholds = load_array(place / f"{name}_threshold.npy", (len(set(self._sets)),))
        if thresholds is not None:  # written last
            return thresholds, np.load(place / f"{name}.npy", allow_pickle=False)
        found, table = self._find_components(parameters)
        save_array(place / f"{name}.npy", table)
        save_array(place / f"{name}_threshold.npy", found)
        return found, table

    def _find_components(
        self, parameters: Parameters
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        anomalies = _each(lambda key: self._anomaly(parameters, key), self._lesions)
        pairs = zip(anomalies, self._truths, strict=True)
        thresholds = find_thresholds(
            parameters.rule,
            parameters.percentile,
            [(name, Sorted.of(*pair)) for name, pair in zip(self._sets, pairs, strict=True)],
            lambda: _each(lambda key: self._inside(parameters, key), self._healthy),
        )
        tables = [np.empty((0, COLUMNS), np.int64)]
        for index, (anomaly, truth) in enumerate(zip(anomalies, self._truths, strict=True)):
            threshold = thresholds.of(self._sets[index])
            table = component_table(anomaly > np.float32(threshold), truth)
            tables.append(np.insert(table, 0, index, axis=1))
        own = [thresholds.of(name) for name in sorted(set(self._sets))]
        return np.array(own), np.concatenate(tables)

    def _anomaly(self, parameters: Parameters, key: str) -> Voxels:
        path = self._filtered / _filtering_name(parameters) / f"{key}.npy"
        mask = self._case("mask", key)
        kept = load_array(path, mask.shape)
        if kept is not None:
            return kept
        made = filtered_residual(
            self._residual(parameters.timesteps, key), mask, parameters.filtering
        )
        save_array(path, made)
        return made

    def _residual(self, timesteps: Sequence[int], key: str) -> Voxels:
        """|x − x̂|, (Z, H, W)."""
        reconstructions = (
            np.load(reconstruction_file(self._store, step, key), mmap_mode="r")
            for step in timesteps
        )
        difference: Voxels = np.abs(self._case("image", key) - averaged(reconstructions))
        return difference

    def _inside(self, parameters: Parameters, key: str) -> Values:
        return self._anomaly(parameters, key)[eroded(self._case("mask", key), parameters.erosion)]

    def trim(self, limit: int = KEPT_BYTES) -> None:
        """Remove the filtered residuals that were made first, beyond `limit` bytes of them."""
        files = [(path, path.stat()) for path in self._filtered.glob("*/*.npy")]
        total = sum(status.st_size for _, status in files)
        for path, status in sorted(files, key=lambda file: file[1].st_mtime):
            if total <= limit:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size

    @property
    def _filtered(self) -> Path:
        return self._store / "filtered"

    def _case(self, name: str, key: str) -> NDArray[Any]:
        return np.asarray(np.load(case_file(self._store, name, key)))


def _digest(keys: Sequence[str], truths: Sequence[Mask]) -> str:
    """Tells what a table was made from."""
    digest = hashlib.blake2b("/".join(keys).encode(), digest_size=6)
    for truth in truths:
        digest.update(np.packbits(truth).tobytes())
    return digest.hexdigest()


def _filtering_name(parameters: Parameters) -> str:
    filtering = parameters.filtering
    steps = spelled(parameters.timesteps)
    return f"{steps}_e{filtering.erosion}_m{filtering.median_size}"


def _rule_name(parameters: Parameters) -> str:
    if parameters.rule != "healthy_percentile":
        return parameters.rule
    return f"{parameters.rule}_{parameters.percentile:g}"


def _each(function: Callable[[str], T], keys: Iterable[str]) -> list[T]:
    """In threads, for sorting windows leaves the interpreter to others."""
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(function, keys))
