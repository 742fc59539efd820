"""How well the noise of held-out patches is seen, the same in every epoch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.blocks.diffusion.hashing import derived, integers
from models.pipelined import Prepared

SHARE_STREAM = 301

Noised = Callable[[Tensor, Tensor], Prepared]


def stratified_timesteps(seeds: Tensor, steps: int, count: int) -> list[Tensor]:
    """One time step (B,) of each of `count` equal shares of all `steps`, by the samples' seeds.

    The error depends on the time step far more than on the patch: a spread that is the same for
    all patches leaves a mean that tells models apart.
    """
    bounds = [round(share * steps / count) for share in range(count + 1)]
    return [
        first
        + integers(derived(seeds, share), SHARE_STREAM, 1, below=max(end - first, 1)).squeeze(1)
        for share, (first, end) in enumerate(pairwise(bounds))
    ]


def noise_errors(
    noised: Noised, model: nn.Module, seeds: Tensor, *, steps: int, count: int
) -> dict[str, Tensor]:
    """Mean absolute and squared error of ε̂ over `count` time steps, each (B,).

    Args:
        noised: from seeds of the noise (B,) and time steps (B,) to the model's inputs and targets.
        seeds: (B,) int64, the samples' own.
        steps: of the schedule.
    """
    absolute, squared = [], []
    for share, timesteps in enumerate(stratified_timesteps(seeds, steps, count)):
        prepared = noised(derived(seeds, share), timesteps)
        error = (model(*prepared.inputs).float() - prepared.targets["noise"]).flatten(1)
        absolute.append(error.abs().mean(dim=1))
        squared.append(error.square().mean(dim=1))
    return {
        "l1": torch.stack(absolute).mean(dim=0),
        "mse": torch.stack(squared).mean(dim=0),
    }
