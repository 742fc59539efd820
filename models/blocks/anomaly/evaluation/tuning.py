"""Lays out what tuning the evaluation needs, so that scoring a proposal needs no model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data.brain.dataset import BrainVolume
from models.blocks.anomaly.evaluation.parameters import Parameters, tuning_defaults, tuning_space
from models.blocks.anomaly.evaluation.reconstructions import (
    Reconstructions,
    case_file,
    volume_key,
)
from models.blocks.anomaly.evaluation.reconstructor import Reconstructor
from models.blocks.anomaly.evaluation.scorer import score
from models.blocks.arrays import load_array, save_array
from models.evaluation import Request, Tuning


def tuning_of(
    family: Reconstructor,
    reconstructions: Reconstructions,
    request: Request,
    defaults: Parameters,
    *,
    lesions: Iterable[BrainVolume],
    healthy: Iterable[BrainVolume],
) -> Tuning:
    """Reconstruct every volume from every candidate time step, unless that was done before."""
    candidates = tuple(dict.fromkeys([defaults.timesteps, *family.candidate_timesteps]))
    laid = _LaidOut(request, reconstructions, candidates)
    laid_out = [(laid.lay_out(volume), volume.dataset) for volume in lesions]
    healthy_keys = [laid.lay_out(volume) for volume in healthy]
    return Tuning(
        scorer=score,
        task={
            "store": str(request.store),
            "lesions": [key for key, _ in laid_out],
            "sets": [dataset for _, dataset in laid_out],
            "healthy": healthy_keys,
            "defaults": defaults.model_dump(mode="json"),
        },
        space=tuning_space(candidates, laid.width),
        defaults=tuning_defaults(defaults),
    )


class _LaidOut:
    """What of the volumes is in the store."""

    def __init__(
        self,
        request: Request,
        reconstructions: Reconstructions,
        candidates: tuple[tuple[int, ...], ...],
    ) -> None:
        self.width = 0
        self._request = request
        self._reconstructions = reconstructions
        self._candidates = candidates

    def lay_out(self, volume: BrainVolume) -> str:
        """Reconstruct a volume from every time step, and keep what else scores need; its key."""
        self.width = volume.image.shape[-1]
        key = volume_key(volume)
        for step in sorted({step for timesteps in self._candidates for step in timesteps}):
            self._request.tell(f"reconstructing {volume.name} from time step {step}")
            self._reconstructions.of(volume, [step])
        for name, array in (
            ("image", volume.image),
            ("mask", volume.mask),
            ("truth", volume.segmentation),
        ):
            path = case_file(self._request.store, name, key)
            kept = load_array(path, array.shape)
            if kept is None or not np.array_equal(kept, array):
                save_array(path, array)
        return key
