"""Healthy counterparts of whole volumes, kept on disk so that the model runs once for each."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.brain.dataset import BrainVolume
from models.blocks.anomaly.evaluation.postprocess import Voxels
from models.blocks.anomaly.evaluation.reconstructor import Reconstructor
from models.blocks.arrays import load_array, save_array
from protocol.errors import DataError

SLICES_AT_ONCE = 16


class Reconstructions:
    """The reconstructions of one checkpoint, by volume and time step."""

    def __init__(self, family: Reconstructor, model: nn.Module, store: Path) -> None:
        """Look them up in `store`, a folder of this checkpoint, or have `model` make them."""
        self._family = family
        self._model = model
        self._store = store

    def of(self, volume: BrainVolume, timesteps: Sequence[int]) -> Voxels:
        """The mean of the reconstructions from each time step: (Z, H, W) in [0, 1].

        Raises:
            DataError: the model gives NaN or infinity.
        """
        return averaged(self._at(volume, step) for step in timesteps)

    def _at(self, volume: BrainVolume, step: int) -> Voxels:
        path = reconstruction_file(self._store, step, volume_key(volume))
        kept = load_array(path, volume.image.shape)
        if kept is not None:
            return kept
        made = self._make(volume, step)
        if not np.isfinite(made).all():
            raise DataError(
                f"{volume.name}: the reconstruction from time step {step} has NaN or infinite "
                "values; the checkpoint's model has diverged: choose another trial"
            )
        save_array(path, made)
        return made

    @torch.no_grad()
    def _make(self, volume: BrainVolume, step: int) -> Voxels:
        """Slices without brain are left as they are."""
        made = volume.image.copy()
        seeds = slice_seeds(volume.name, len(made))
        filled = np.flatnonzero(volume.mask.any(axis=(1, 2)))
        device = next((tensor.device for tensor in self._model.parameters()), torch.device("cpu"))
        for chosen in _batches(filled):
            result = self._family.reconstruct(
                self._model,
                _slices(volume.image[chosen], device),
                _slices(volume.mask[chosen], device),
                seeds[chosen].to(device),
                [step],
            )
            made[chosen] = result[:, 0].float().cpu().numpy()
        return made


def averaged(reconstructions: Iterable[Voxels]) -> Voxels:
    """Their mean, (Z, H, W) float32."""
    mean: NDArray[np.float64] = np.mean(list(reconstructions), axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def reconstruction_file(store: Path, step: int, key: str) -> Path:
    """Where the reconstruction of the volume with this key from a time step is."""
    return store / f"t{step:04d}" / f"{key}.npy"


def case_file(store: Path, name: str, key: str) -> Path:
    """Where the `image`, `mask` or `truth` of the volume with this key is, each (Z, H, W)."""
    return store / name / f"{key}.npy"


def slice_seeds(name: str, count: int) -> Tensor:
    """A seed for each slice of a volume, (count,) int64, the same on every machine."""
    digests = [
        hashlib.blake2b(f"{name}/{index}".encode(), digest_size=8).digest()
        for index in range(count)
    ]
    return torch.tensor([int.from_bytes(digest, "little") >> 1 for digest in digests])


def volume_key(volume: BrainVolume) -> str:
    """A file stem for what is computed from a volume's image and mask."""
    digest = hashlib.blake2b(np.ascontiguousarray(volume.image).tobytes(), digest_size=6)
    digest.update(np.packbits(volume.mask).tobytes())
    return f"{volume.name}-{digest.hexdigest()}"


def _batches(indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Batches of nearly equal size."""
    if indices.size:
        yield from np.array_split(indices, math.ceil(indices.size / SLICES_AT_ONCE))


def _slices(values: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).unsqueeze(1).to(device)
