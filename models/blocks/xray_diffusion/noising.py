"""Patches with noise added: what the model is given, and how far off it is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.blocks.diffusion.noise import gaussian_noise
from models.blocks.xray_diffusion.network.output import Output
from models.family import Batch
from models.pipelined import Prepared


@dataclass(frozen=True, kw_only=True)
class Noising:
    """Adds noise to the patches of a batch, to each by a seed of its own."""

    reading: Output  # of the model, on the schedule that says how much noise

    def prepare(self, batch: Batch, seeds: Tensor, timesteps: Tensor) -> Prepared:
        """The model's inputs, and what `PhasedLoss` compares its output with.

        Args:
            batch: of `SplitPatches`, B patches (B, 1, p, p, p) in [0, 1].
            seeds, timesteps: (B,) int64.
        """
        clean = self.reading.scale.inside(batch["ct"])
        noise = gaussian_noise(clean.shape, seeds)
        noisy = self.reading.schedule.add_noise(clean, noise, timesteps)
        return Prepared(
            inputs=(noisy, timesteps, batch["xrays"], batch["corner"], batch["extent"]),
            targets={
                "target": self.reading.target(clean, noise, timesteps),
                "noise": noise,
                "noisy": noisy,
                "clean": clean,
                "timesteps": timesteps,
            },
        )

    def missed(self, model: nn.Module, batch: Batch, seeds: Tensor, timesteps: Tensor) -> Tensor:
        """ε̂ − ε of the patches with this noise, (B, 1, p, p, p); see `prepare`."""
        prepared = self.prepare(batch, seeds, timesteps)
        output, targets = model(*prepared.inputs), prepared.targets
        return self.reading.epsilon(output, targets["noisy"], timesteps) - targets["noise"]
