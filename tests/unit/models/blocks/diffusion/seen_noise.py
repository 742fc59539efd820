"""What a model would say that knew the image."""

from __future__ import annotations

import torch
from torch import Tensor

from models.blocks.diffusion.schedule import NoiseSchedule


def seen_noise(schedule: NoiseSchedule, noisy: Tensor, clean: Tensor, timesteps: Tensor) -> Tensor:
    """The noise that was added to `clean`."""
    rest = noisy - schedule.add_noise(clean, torch.zeros_like(clean), timesteps)
    return rest / schedule.add_noise(torch.zeros_like(clean), torch.ones_like(clean), timesteps)
