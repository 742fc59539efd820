"""Sampled volumes of a checkpoint, kept on disk, as each takes minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from data.xray_ct.dataset import XrayCtSettings
from models.blocks.anomaly.evaluation.reconstructions import load_array, save_array
from models.blocks.xray_diffusion.blending import BlendKind
from models.blocks.xray_diffusion.patches import WholeCase
from models.blocks.xray_diffusion.settings import Diffx2ctSettings
from protocol.errors import DataError


class BlendParameters(BaseModel):
    """What an evaluation may do otherwise than the recipe says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blend: BlendKind


class VolumeSampler(Protocol):
    """The part of a family that is judged by the volumes it makes."""

    data: XrayCtSettings
    settings: Diffx2ctSettings

    def sample(
        self, model: nn.Module, xrays: Tensor, seed: int, blend: BlendKind | None = None
    ) -> Tensor: ...


class SampledVolumes:
    """The volumes that one checkpoint makes of X-rays, by case and kind of blending."""

    def __init__(self, family: VolumeSampler, model: nn.Module, store: Path) -> None:
        """Look them up in `store`, a folder of this checkpoint, or have `model` make them."""
        self._family = family
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
        made = self._family.sample(
            self._model, case.xrays.to(self._device()), case.seed, blend
        ).cpu()
        if not torch.isfinite(made).all():
            raise DataError(
                f"{case.name}: the sampled volume has NaN or infinite values; the checkpoint's "
                "model has diverged: choose another trial"
            )
        save_array(path, made.numpy())
        return made

    def _device(self) -> torch.device:
        return next((tensor.device for tensor in self._model.parameters()), torch.device("cpu"))
