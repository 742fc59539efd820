"""Lays out what tuning the evaluation needs, so that scoring a proposal needs no model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data.brain.dataset import BrainVolume
from models.blocks.anomaly.evaluation.parameters import Parameters, tuning_defaults, tuning_space
from models.blocks.anomaly.evaluation.reconstructions import (
    Reconstructions,
    load_array,
    save_array,
    volume_key,
)
from models.blocks.anomaly.evaluation.reconstructor import Reconstructor
from models.evaluation import Request, Tuning

SCORER = "models.blocks.anomaly.evaluation.scorer:score"


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
    layout = _Layout(request, reconstructions, candidates)
    lesion_keys = [layout.lay_out(volume) for volume in lesions]
    healthy_keys = [layout.lay_out(volume) for volume in healthy]
    return Tuning(
        scorer=SCORER,
        task={
            "store": str(request.store),
            "lesions": lesion_keys,
            "healthy": healthy_keys,
            "defaults": defaults.model_dump(mode="json"),
        },
        space=tuning_space(candidates, layout.width),
        defaults=tuning_defaults(defaults),
    )


class _Layout:
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


def case_file(store: Path, name: str, key: str) -> Path:
    """Where a volume's `image`, `mask` or `truth` is, each (Z, H, W)."""
    return store / name / f"{key}.npy"
