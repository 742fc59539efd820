"""A sampler of volumes as a program: the same noise every time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from data.xray_ct.windows import window_corners
from models.blocks.diffusion.noise import gaussian_noise
from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.xray_diffusion.blending import window_weights
from models.blocks.xray_diffusion.network.output import Output
from models.blocks.xray_diffusion.sampler import SamplerKind, make_sampler
from models.blocks.xray_diffusion.volume_sampler import VolumeSampler
from models.program import Core, XraysProgram

SEED = 0  # of the noise that sampling begins with, and of what is drawn on the way


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

    def spare_memory(self) -> bool:
        """Denoise half as many windows at once."""
        settings = self.sampler.settings
        fewer = settings.windows_at_once // 2
        if fewer == 0:
            return False
        halved = settings.model_copy(update={"windows_at_once": fewer})
        self.sampler = replace(self.sampler, settings=halved)
        return True

    def core(self) -> Core:
        """The noise of windows at one time step; the loop over both stays outside.

        `loop` has for each time step its number, √ᾱ and √(1 − ᾱ), and what the next volume is
        made of: so much of this one, of x̂_0, of the x̂_0 before and of new noise.
        """
        settings, reading = self.sampler.settings, self.sampler.reading
        size, extent = settings.patch_size, (self.sampler.data.ct_size,) * 3
        corners = window_corners(extent, size, settings.overlap)
        steps = linear_steps(settings.sampler, reading.schedule, settings.sampling_steps)
        return Core(
            module=WindowNoise(self.model, reading, extent),
            inputs=("windows", "timesteps", "xrays", "corners"),
            examples=(
                torch.rand(2, 1, size, size, size),
                torch.tensor([0, steps[0]["timestep"]]),
                torch.rand(2, *self.inputs[0].shape),
                torch.tensor([corners[0], corners[-1]]),
            ),
            loop={
                "steps": steps,
                "corners": [list(corner) for corner in corners],
                "at_once": settings.windows_at_once,
                "low": reading.scale.low,
                "hu_window": list(self.hu_window),
                "seed": SEED,
            },
            arrays={
                "weights": window_weights(settings.blend, size),
                "noise": gaussian_noise((1, *extent), torch.tensor([SEED]))[0],
            },
        )


class WindowNoise(nn.Module):
    """ε̂ of windows of a noisy volume."""

    def __init__(self, model: nn.Module, reading: Output, extent: tuple[int, int, int]) -> None:
        super().__init__()
        self.model = model
        self._reading, self._extent = reading, extent

    def forward(
        self, windows: Tensor, timesteps: Tensor, xrays: Tensor, corners: Tensor
    ) -> tuple[Tensor]:
        """(B, 1, p, p, p), (B,) int64, (B, 2, S, S) and (B, 3) int64 → (B, 1, p, p, p)."""
        whole = torch.tensor(self._extent).expand_as(corners)
        output = self.model(windows, timesteps, xrays, corners, whole)
        return (self._reading.epsilon(output, windows, timesteps).float(),)


def linear_steps(kind: SamplerKind, schedule: NoiseSchedule, count: int) -> list[dict[str, Any]]:
    """What each step of a sampler makes the next volume of, which is linear in all of it.

    The sampler is run on unit vectors: axis 0 stands for the volume, axis i + 1 for x̂_0 of step i.

    Returns:
        {"timestep", "signal", "noise", "volume", "clean", "before", "drawn"} of each, in order.
    """
    sampler = make_sampler(kind, schedule, count, torch.device("cpu"))
    timesteps: list[int] = sampler.timesteps.tolist()
    units = torch.eye(len(timesteps) + 1)[:, None]  # the samplers want two axes at least
    found = []
    for index, timestep in enumerate(timesteps):
        made, drawn = _step(sampler, kind, timestep, units[index + 1], units[0])
        when = torch.tensor([timestep])
        found.append(
            {
                "timestep": timestep,
                "signal": float(schedule.signal(when)),
                "noise": float(schedule.noise_share(when)),
                "volume": float(made[0, 0]),
                "clean": float(made[0, index + 1]),
                "before": float(made[0, index]) if index else 0.0,
                "drawn": drawn,
            }
        )
    return found


def _step(
    sampler: Any, kind: SamplerKind, timestep: int, clean: Tensor, volume: Tensor
) -> tuple[Tensor, float]:
    """What comes of unit vectors, and how much of the noise that the step draws is in it."""

    def stepped(clean: Tensor, volume: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(SEED)
        made: Tensor = sampler.step(clean, timestep, volume, generator=generator).prev_sample
        return made

    if kind == "dpm_solver":  # which remembers, but draws nothing
        return stepped(clean, volume), 0.0
    alone = stepped(torch.zeros_like(clean), torch.zeros_like(volume))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(SEED))
    largest = int(noise.abs().argmax())
    drawn = float(alone[0, largest] / noise[0, largest])
    return stepped(clean, volume) - alone, drawn
