"""A sampler of volumes as a program: the same noise every time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks.xray_diffusion.volume_sampler import VolumeSampler
from models.program import XraysProgram

SEED = 0  # of the noise that sampling begins with


class SampledProgram(XraysProgram):
    """All steps of the sampler, over windows of the volume."""

    def __init__(self, model: nn.Module, sampler: VolumeSampler) -> None:
        data = sampler.data
        super().__init__(
            xray_size=data.xray_size,
            ct_size=data.ct_size,
            voxel_size=model.get_buffer("entry.voxel_size"),
            hu_window=data.hu_window,
        )
        self.model, self.sampler = model, sampler

    def forward(self, xrays: Tensor) -> tuple[Tensor]:
        """(B, 2, S, S) → (B, D, H, W)."""
        sampled = [self.sampler.sample(self.model, views, SEED) for views in xrays]
        return (self.hounsfield(torch.stack(sampled)),)
