"""Volumes from X-rays as a recipe has them made: for pictures, evaluation and inference alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data.xray_ct.settings import XrayCtSettings
from models.blocks.xray_diffusion.blending import BlendKind, Windows
from models.blocks.xray_diffusion.network.output import Output
from models.blocks.xray_diffusion.sampler import sample_volume
from models.blocks.xray_diffusion.settings import Diffx2ctSettings


@dataclass(frozen=True, kw_only=True)
class VolumeSampler:
    """Makes one volume after the other, by whatever model it is given."""

    settings: Diffx2ctSettings
    data: XrayCtSettings
    reading: Output  # of the model

    @torch.no_grad()
    def sample(
        self, model: nn.Module, xrays: Tensor, seed: int, blend: BlendKind | None = None
    ) -> Tensor:
        """A volume from noise.

        Args:
            model: in evaluation mode.
            xrays: (2, S, S) in [0, 1], front view first, on the model's device.
            seed: the same one gives the same volume.
            blend: how windows are blended, if not as in the recipe.

        Returns:
            (1, D, H, W) in [0, 1], the share of the window of Hounsfield units.
        """
        settings, device = self.settings, xrays.device
        extent = (self.data.ct_size,) * 3
        sizes = torch.tensor(extent, device=device)

        def denoise(noisy: Tensor, timesteps: Tensor, corners: Tensor) -> Tensor:
            count = len(noisy)
            views, whole = xrays.expand(count, -1, -1, -1), sizes.expand(count, -1)
            output = model(noisy, timesteps, views, corners, whole)
            return self.reading.epsilon(output, noisy, timesteps)

        volume = sample_volume(
            denoise,
            self._windows(blend or settings.blend, device),
            extent,
            schedule=self.reading.schedule,
            kind=settings.sampler,
            steps=settings.sampling_steps,
            seed=torch.tensor(seed, device=device),
            low=self.reading.scale.low,
        )
        return self.reading.scale.outside(volume)[None]

    def _windows(self, blend: BlendKind, device: torch.device) -> Windows:
        settings = self.settings
        return Windows(
            (self.data.ct_size,) * 3,
            settings.patch_size,
            overlap=settings.overlap,
            blend=blend,
            at_once=settings.windows_at_once,
            device=device,
        )
