"""What the model is trained by, which changes twice while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.images.volume_metrics import similarity
from models.blocks.xray_diffusion.network.output import Output

FourierNorm = Literal["ortho", "none"]
_TORCH_NORMS = {"ortho": "ortho", "none": "backward"}


@dataclass(frozen=True, kw_only=True)
class PhasedLoss:
    """Squared error, then absolute error, then a weighted sum with the structure's."""

    reading: Output
    mse_until: int  # the last epoch of the first phase
    l1_until: int  # the last epoch of the second
    weights: tuple[float, float, float]  # of L1, SSIM and Fourier magnitudes, in any unit
    fft_norm: FourierNorm = "ortho"

    def terms(self, epoch: int, output: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms of epoch number `epoch`, each a mean over samples.

        A weight of 0 leaves its term out, and its cost.

        Args:
            output: of the model, (B, 1, D, H, W).
            targets: what it should be as `target`, x_t as `noisy`, x_0 on the reading's scale as
                `clean`, all of the same shape; `timesteps` (B,).
        """
        # Sums over millions of voxels, and Fourier transforms, want single precision.
        with torch.autocast(output.device.type, enabled=False):
            found, target = output.float(), targets["target"]
            if epoch <= self.mse_until:
                return {"mse": F.mse_loss(found, target)}
            if epoch <= self.l1_until:
                return {"l1": F.l1_loss(found, target)}
            return self._mixed(found, targets)

    def _mixed(self, output: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        l1, ssim, fft = (weight / sum(self.weights) for weight in self.weights)
        terms = {}
        if l1:
            terms["l1"] = l1 * F.l1_loss(output, targets["target"])
        if ssim:
            terms["ssim"] = ssim * self._dissimilarity(output, targets)
        if fft:
            terms["fft"] = fft * spectral_error(output, targets["target"], self.fft_norm)
        return terms

    def _dissimilarity(self, output: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """1 − SSIM(x̂_0, x_0), shrunk where x̂_0 cannot but be far off: its gradient is bounded."""
        timesteps = targets["timesteps"]
        x0 = self.reading.clean(output, targets["noisy"], timesteps)
        scale = self.reading.scale
        alike = similarity(scale.outside(x0).clamp(0, 1), scale.outside(targets["clean"]))
        return (self.reading.steadiness(timesteps) * (1 - alike)).mean()


def spectral_error(predicted: Tensor, noise: Tensor, norm: FourierNorm = "ortho") -> Tensor:
    """The mean absolute error of the Fourier magnitudes over the three axes of space.

    Args:
        predicted, noise: (B, 1, D, H, W) float32.
        norm: `ortho`normal, with which white noise has magnitudes near 1 whatever the size of the
            patch; `none` is √(D·H·W) times as much.
    """
    axes = (2, 3, 4)
    found = torch.fft.rfftn(predicted, dim=axes, norm=_TORCH_NORMS[norm]).abs()
    return F.l1_loss(found, torch.fft.rfftn(noise, dim=axes, norm=_TORCH_NORMS[norm]).abs())
