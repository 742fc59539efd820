"""Volumes from noise, by the samplers of diffusers on the schedule of the training.

At each time step the model sees every window of the same noisy volume; what it predicts is
blended, and the whole volume takes the step. So windows cannot drift apart, as they would if each
were sampled on its own, and no seam has to be hidden afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from models.blocks.diffusion.noise import gaussian_noise
from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.xray_diffusion.blending import Windows

SamplerKind = Literal["dpm_solver", "ddpm"]

# Of half the logarithm of the signal-to-noise ratio: below it, steps of the solver lose precision.
LEAST_LAMBDA = -5.1

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]


def make_sampler(
    kind: SamplerKind, schedule: NoiseSchedule, steps: int, device: torch.device
) -> Any:
    """A scheduler of diffusers that is handed x̂_0, its time steps set.

    Source: Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic
    models" (2022), multistep, second order; Ho et al., "Denoising diffusion probabilistic models"
    (2020), algorithm 2, with the smaller of its variances.

    Args:
        schedule: that of the training.
        steps: time steps to take, at most the schedule's.
    """
    common: dict[str, Any] = {
        "num_train_timesteps": schedule.steps,
        "trained_betas": schedule.betas.numpy(),
        "prediction_type": "sample",
    }
    scheduler: Any
    if kind == "ddpm":
        # x̂_0 has been clamped already; "trailing" begins at the last time step, pure noise.
        scheduler = DDPMScheduler(**common, clip_sample=False, timestep_spacing="trailing")
    else:
        scheduler = DPMSolverMultistepScheduler(
            **common, algorithm_type="dpmsolver++", lambda_min_clipped=LEAST_LAMBDA
        )
    scheduler.set_timesteps(steps, device=device)
    return scheduler


@torch.no_grad()
def sample_volume(
    denoise: Denoise,
    windows: Windows,
    extent: tuple[int, int, int],
    *,
    schedule: NoiseSchedule,
    kind: SamplerKind,
    steps: int,
    seed: Tensor,
    low: float = -1.0,
) -> Tensor:
    """One volume in [low, 1], (D, H, W) float32 on the device of `seed`.

    Args:
        denoise: from windows of a noisy volume (N, 1, p, p, p), their time steps (N,) and first
            voxels (N, 3) to ε̂ (N, 1, p, p, p).
        windows: those of the volume.
        seed: () int64; the same seed gives the same volume.
        low: the smallest intensity that there is.
    """
    device = seed.device
    sampler = make_sampler(kind, schedule, steps, device)
    generator = torch.Generator().manual_seed(int(seed))  # on the host: the same on any device
    volume = gaussian_noise((1, *extent), seed.reshape(1))[0]
    for timestep in sampler.timesteps.tolist():
        epsilon = windows.blended(volume, _at(timestep, denoise))
        when = torch.tensor([timestep], device=device)
        clean = schedule.x0_from_epsilon(volume[None], epsilon[None], when)[0].clamp(low, 1)
        volume = sampler.step(clean, timestep, volume, generator=generator).prev_sample
    return volume.clamp(low, 1)


def _at(timestep: int, denoise: Denoise) -> Callable[[Tensor, Tensor], Tensor]:
    def predict(windows: Tensor, corners: Tensor) -> Tensor:
        when = torch.full((len(windows),), timestep, dtype=torch.int64, device=windows.device)
        return denoise(windows, when, corners)

    return predict
