"""Where things are, as vectors: of X-ray features, and of the voxels of a patch in its volume."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.blocks.diffusion.embedding import timestep_embedding

SHORTEST_WAVE = 16  # of the finest wave over a volume's half extent: 8 voxels of 256


def plane_embedding(rows: int, columns: int, features: int) -> Tensor:
    """Sines and cosines of a feature map's rows in the first half, of its columns in the second.

    Source: Vaswani et al., "Attention is all you need" (2017), section 3.5, for each of two axes.

    Args:
        features: an even number.

    Returns:
        (features, rows, columns) float32.
    """
    half = features // 2
    of_rows = timestep_embedding(torch.arange(rows), half).T
    of_columns = timestep_embedding(torch.arange(columns), half).T
    return torch.cat(
        [
            of_rows[:, :, None].expand(-1, rows, columns),
            of_columns[:, None, :].expand(-1, rows, columns),
        ]
    )


def patch_features(width: int) -> int:
    """Channels of `patch_embedding` beside `width` channels: the next multiple of 6."""
    return (width + 5) // 6 * 6


def patch_embedding(corner: Tensor, extent: Tensor, size: tuple[int, ...], features: int) -> Tensor:
    """Sines and cosines of where in its volume each voxel of a patch lies.

    Each axis runs from −1 at the volume's first voxel to 1 at its last; wavelengths are spaced
    geometrically from twice the volume to 1/16 of its half.

    Source: Mildenhall et al., "NeRF: representing scenes as neural radiance fields" (2020), eq. 4.

    Args:
        corner: (B, 3), the voxel of the volume that the patch begins at.
        extent: (B, 3), the volume's size in voxels.
        size: the patch's.
        features: a multiple of 6.

    Returns:
        (B, features, *size) float32.
    """
    count = features // 6
    octaves = torch.arange(count, device=corner.device) / max(count - 1, 1)
    frequencies = math.pi / 2 * (2 * SHORTEST_WAVE) ** octaves.float()
    found = []
    for axis, length in enumerate(size):
        voxels = corner[:, axis, None] + torch.arange(length, device=corner.device)
        places = 2 * voxels / (extent[:, axis, None] - 1).clamp_min(1) - 1
        angles = frequencies[None, :, None] * places[:, None, :]
        shape = [
            corner.shape[0],
            2 * count,
            *(length if other == axis else 1 for other in range(3)),
        ]
        waves = torch.cat([angles.sin(), angles.cos()], dim=1).reshape(shape)
        found.append(waves.expand(-1, -1, *size))
    return torch.cat(found, dim=1)
