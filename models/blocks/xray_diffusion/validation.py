"""How well the noise of held-out patches is seen, the same in every epoch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from models.blocks.diffusion.hashing import derived, integers
from models.blocks.diffusion.schedule import NoiseSchedule

LEVEL_STREAM = 301
REFERENCE_STEPS = 1000

Missed = Callable[[Tensor, Tensor], Tensor]


def validation_timesteps(seeds: Tensor, schedule: NoiseSchedule, count: int) -> list[Tensor]:
    """`count` time steps (B,) of the schedule, spread over all levels of noise, by the seeds.

    The error depends on the level of noise far more than on the patch: a spread that is the same
    for all patches leaves a mean that tells models apart. The levels are those of the reference
    schedule, one from each equal share of it, and each is taken at the step of `schedule` that is
    nearest, so that models trained on different schedules compare.
    """
    reference = _reference()
    bounds = [round(share * reference.steps / count) for share in range(count + 1)]
    drawn = [
        first + integers(derived(seeds, share), LEVEL_STREAM, 1, below=end - first).squeeze(1)
        for share, (first, end) in enumerate(pairwise(bounds))
    ]
    return [schedule.nearest(reference.alphas_cumprod.to(seeds.device)[step]) for step in drawn]


@cache
def _reference() -> NoiseSchedule:
    return NoiseSchedule("linear", REFERENCE_STEPS)


def noise_errors(
    missed: Missed, seeds: Tensor, schedule: NoiseSchedule, count: int
) -> dict[str, Tensor]:
    """Mean absolute and squared error of ε̂ over `count` levels of noise, each (B,).

    Args:
        missed: from seeds of the noise (B,) and time steps (B,) to ε̂ − ε, (B, …).
        seeds: (B,) int64, the samples' own.
        schedule: that of the training.
    """
    absolute, squared = [], []
    for share, timesteps in enumerate(validation_timesteps(seeds, schedule, count)):
        error = missed(derived(seeds, share), timesteps).flatten(1)
        absolute.append(error.abs().mean(dim=1))
        squared.append(error.square().mean(dim=1))
    return {
        "l1": torch.stack(absolute).mean(dim=0),
        "mse": torch.stack(squared).mean(dim=0),
    }
