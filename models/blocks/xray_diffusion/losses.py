"""What the model is trained by, which changes twice while it trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.volume_metrics import similarity


@dataclass(frozen=True, kw_only=True)
class PhasedLoss:
    """Squared error, then absolute error, then a weighted sum with the structure's."""

    schedule: NoiseSchedule
    mse_until: int  # the last epoch of the first phase
    l1_until: int  # the last epoch of the second
    weights: tuple[float, float, float]  # of L1, SSIM and Fourier magnitudes, in any unit

    def terms(self, epoch: int, output: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms of epoch number `epoch`, each a mean over samples.

        A weight of 0 leaves its term out, and its cost.

        Args:
            output: ε̂, (B, 1, D, H, W).
            targets: ε as `noise`, x_t as `noisy`, x_0 as `clean`, all of the same shape and the
                latter in [−1, 1]; `timesteps` (B,).
        """
        noise = targets["noise"]
        # Sums over millions of voxels, and Fourier transforms, want single precision.
        with torch.autocast(output.device.type, enabled=False):
            predicted = output.float()
            if epoch <= self.mse_until:
                return {"mse": F.mse_loss(predicted, noise)}
            if epoch <= self.l1_until:
                return {"l1": F.l1_loss(predicted, noise)}
            return self._mixed(predicted, targets)

    def _mixed(self, predicted: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        l1, ssim, fft = (weight / sum(self.weights) for weight in self.weights)
        terms = {}
        if l1:
            terms["l1"] = l1 * F.l1_loss(predicted, targets["noise"])
        if ssim:
            terms["ssim"] = ssim * self._dissimilarity(predicted, targets)
        if fft:
            terms["fft"] = fft * spectral_error(predicted, targets["noise"])
        return terms

    def _dissimilarity(self, predicted: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """√ᾱ_t·(1 − SSIM(x̂_0, x_0)).

        x̂_0 is as far off as ε̂ times √(1 − ᾱ_t)/√ᾱ_t, which grows beyond a hundred towards T;
        the factor keeps the gradient with respect to ε̂ bounded.
        """
        timesteps = targets["timesteps"]
        x0 = self.schedule.x0_from_epsilon(targets["noisy"], predicted, timesteps)
        alike = similarity(_to_unit(x0).clamp(0, 1), _to_unit(targets["clean"]))
        return (self.schedule.signal(timesteps) * (1 - alike)).mean()


def spectral_error(predicted: Tensor, noise: Tensor) -> Tensor:
    """The mean absolute error of the Fourier magnitudes over the three axes of space.

    Args:
        predicted, noise: (B, 1, D, H, W) float32.
    """
    axes = (2, 3, 4)
    # Orthonormal, so that white noise has magnitudes near 1 whatever the size of the patch.
    found = torch.fft.rfftn(predicted, dim=axes, norm="ortho").abs()
    return F.l1_loss(found, torch.fft.rfftn(noise, dim=axes, norm="ortho").abs())


def _to_unit(volume: Tensor) -> Tensor:
    """[−1, 1] to [0, 1]."""
    return (volume + 1) / 2
