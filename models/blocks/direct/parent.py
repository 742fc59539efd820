"""The trained direct64 whose volumes another family's trials start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.xray_ct.settings import XrayCtSettings
from models.blocks.parent import Trained, load_trained

FAMILY = "direct64"

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Parent(Trained):
    """A frozen model, in evaluation mode."""

    data: XrayCtSettings

    def compute(self, xrays: Array) -> Array:
        """Its volumes on the CPU: (B, 2, S, S) → (B, 1, n, n, n) in [0, 1]."""
        volumes: Array = self.volumes(torch.from_numpy(xrays)).numpy()
        return volumes

    @torch.no_grad()
    def volumes(self, xrays: Tensor) -> Tensor:
        """Its volumes on the device of `xrays`: (B, 2, S, S) → (B, 1, n, n, n) in [0, 1]."""
        self.model.to(xrays.device)
        # One at a time, so that a volume does not depend on what is computed beside it.
        return torch.cat([coarse_volumes(self.model, one[None]) for one in xrays])


def coarse_volumes(model: nn.Module, xrays: Tensor) -> Tensor:
    """What a direct64 makes of X-rays: (B, 2, S, S) → (B, 1, n, n, n) in [0, 1]."""
    volumes: Tensor = model(xrays)[-1].float().clamp(0, 1)
    return volumes


def load_parent(path: Path | None, sha256: str | None) -> Parent:
    """The direct64 of a checkpoint.

    Raises:
        SettingsError: as from `load_trained`.
    """
    otherwise = "set `source: downsampled`"
    return Parent(**vars(load_trained(path, sha256, FAMILY, otherwise=otherwise)))
