"""A U-Net that removes noise, guided by what an encoder sees in the clean slice."""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks.diffusion.unet import DiffusionUNet


class GuidedDenoiser(nn.Module):
    """Encoder and U-Net of Behrendt et al. (2023), figure 1; without an encoder a plain DDPM."""

    def __init__(self, unet: DiffusionUNet, encoder: nn.Module | None) -> None:
        super().__init__()
        self.unet = unet
        self.encoder = encoder

    def forward(self, noisy: Tensor, timesteps: Tensor, image: Tensor) -> Tensor:
        """What the U-Net predicts: the clean slice or the noise.

        Args:
            noisy: (B, 1, H, W), the slice in [−1, 1] with noise added.
            timesteps: (B,) int64, how much noise.
            image: (B, 1, H, W), the slice in [0, 1] that the encoder sums up.

        Returns:
            (B, 1, H, W).
        """
        condition = None if self.encoder is None else self.encoder(image)
        return self.unet(noisy, timesteps, condition)
