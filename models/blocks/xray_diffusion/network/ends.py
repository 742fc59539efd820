"""Where a patch enters the three-dimensional U-Net, and where the noise leaves it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.diffusion.embedding import timestep_embedding
from models.blocks.xray_diffusion.network.levels import run
from models.blocks.xray_diffusion.network.position import patch_embedding, patch_features
from models.blocks.xray_diffusion.network.residual import norm_in_groups

NORM_GROUPS = 32


class Entry(nn.Module):
    """The time step through a perceptron; the patch, with the places of its voxels beside it."""

    def __init__(self, width: int, *, checkpointed: bool) -> None:
        super().__init__()
        self.width = width
        self.places = patch_features(width)
        self._checkpointed = checkpointed
        self.time_mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )
        self.conv = nn.Conv3d(1 + self.places, width, 3, padding=1)
        # In mm, of the training's volumes: noted so that inference does not need them.
        self.register_buffer("voxel_size", torch.ones(3))

    def forward(
        self, noisy: Tensor, timesteps: Tensor, corner: Tensor, extent: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The patch's features (B, width, D, H, W), and the time step's (B, 4 · width)."""
        embedding = self.time_mlp(timestep_embedding(timesteps, self.width))
        return run(self._checkpointed, self._features, noisy, corner, extent), embedding

    def _features(self, noisy: Tensor, corner: Tensor, extent: Tensor) -> Tensor:
        places = patch_embedding(corner, extent, tuple(noisy.shape[2:]), self.places)
        return self.conv(torch.cat([noisy, places.to(noisy)], dim=1))


class Exit(nn.Module):
    """The last normalisation and convolution, which starts at zero."""

    def __init__(self, width: int, *, checkpointed: bool) -> None:
        super().__init__()
        self._checkpointed = checkpointed
        self.norm = norm_in_groups(NORM_GROUPS, width)
        self.conv = nn.Conv3d(width, 1, 3, padding=1)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, D, H, W) to (B, 1, D, H, W)."""
        return run(self._checkpointed, self._noise, features)

    def _noise(self, features: Tensor) -> Tensor:
        return self.conv(F.silu(self.norm(features)))
