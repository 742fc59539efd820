"""Sampled volumes of a checkpoint, kept on disk, as each takes minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.blocks.arrays import load_array, save_array
from models.blocks.xray_diffusion.blending import BlendKind
from models.blocks.xray_diffusion.patches import WholeCase
from models.blocks.xray_diffusion.volume_sampler import VolumeSampler
from protocol.errors import DataError


class SampledVolumes:
    """The volumes that one checkpoint makes of X-rays, by case and kind of blending."""

    def __init__(self, sampler: VolumeSampler, model: nn.Module, store: Path) -> None:
        """Look them up in `store`, a folder of this checkpoint, or have `model` make them."""
        self._sampler = sampler
        self._model = model
        self._store = store

    def of(self, case: WholeCase, blend: BlendKind) -> Tensor:
        """The case's volume, (1, D, H, W) in [0, 1], on the CPU.

        Raises:
            DataError: the model gives NaN or infinity.
        """
        path = self._store / blend / f"{case.name}-{case.seed}.npy"
        kept = load_array(path, tuple(case.ct.shape))
        if kept is not None:
            return torch.from_numpy(np.array(kept))
        xrays = case.xrays.to(self._device())
        made = self._sampler.sample(self._model, xrays, case.seed, blend).cpu()
        if not torch.isfinite(made).all():
            raise DataError(
                f"{case.name}: the sampled volume has NaN or infinite values; the checkpoint's "
                "model has diverged: choose another trial"
            )
        save_array(path, made.numpy())
        return made

    def _device(self) -> torch.device:
        return next((tensor.device for tensor in self._model.parameters()), torch.device("cpu"))
