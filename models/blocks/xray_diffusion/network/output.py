"""What the U-Net gives for a noisy patch, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from models.blocks.diffusion.scale import SYMMETRIC, Scale
from models.blocks.diffusion.schedule import NoiseSchedule

OutputKind = Literal["epsilon", "velocity"]


@dataclass(frozen=True, kw_only=True)
class Output:
    """One reading of the model's output; tensors are (B, 1, D, H, W), time steps (B,) int64."""

    kind: OutputKind
    schedule: NoiseSchedule
    scale: Scale = SYMMETRIC  # of x_0

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the output should be."""
        if self.kind == "epsilon":
            return noise
        return self.schedule.velocity(clean, noise, timesteps)

    def epsilon(self, output: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """ε̂, in single precision."""
        if self.kind == "epsilon":
            return output.float()
        return self.schedule.epsilon_from_velocity(noisy, output.float(), timesteps)

    def clean(self, output: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """x̂_0, in single precision, not clamped."""
        if self.kind == "epsilon":
            return self.schedule.x0_from_epsilon(noisy, output.float(), timesteps)
        return self.schedule.x0_from_velocity(noisy, output.float(), timesteps)

    def steadiness(self, timesteps: Tensor) -> Tensor:
        """How much an error of the output must be shrunk to match the one it makes in x̂_0; (B,).

        From ε̂ it grows by √(1 − ᾱ_t)/√ᾱ_t, beyond a hundred towards T; from v̂ it never grows.
        """
        signal = self.schedule.signal(timesteps)
        return signal if self.kind == "epsilon" else signal.new_ones(()).expand_as(signal)
