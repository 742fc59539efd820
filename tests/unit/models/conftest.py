"""A scan whose sinogram is known in closed form: one off-centre disc."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from data.geometry import ParallelGeometry


@dataclass(frozen=True)
class DiscScan:
    geometry: ParallelGeometry
    sinogram: torch.Tensor  # (1, 1, A, D) line integrals over metres
    image: torch.Tensor  # (1, 1, N, N)
    inside: torch.Tensor  # (N, N), pixels well inside the disc
    outside: torch.Tensor  # (N, N), pixels well outside of it


@pytest.fixture(scope="session")
def disc_scan():
    def make(geometry, *, centre=(0.05, -0.03), radius=0.035, value=0.8):
        angles = geometry.angle_values[:, None]
        cells = (np.arange(geometry.detectors) + 0.5) * geometry.cell_width
        cells = cells - geometry.detector_half_width
        distance = cells - centre[0] * np.cos(angles) - centre[1] * np.sin(angles)
        chords = 2 * value * np.sqrt(np.maximum(0, radius**2 - distance**2))
        pixels = (np.arange(geometry.image_size) + 0.5) * geometry.pixel_width
        pixels = pixels - geometry.image_half_width
        from_centre = np.hypot(pixels[:, None] - centre[0], pixels[None, :] - centre[1])
        margin = 2.5 * geometry.pixel_width
        return DiscScan(
            geometry=geometry,
            sinogram=torch.from_numpy(chords)[None, None],
            image=torch.from_numpy(np.where(from_centre <= radius, value, 0.0))[None, None],
            inside=torch.from_numpy(from_centre < radius - margin),
            outside=torch.from_numpy(from_centre > radius + margin),
        )

    return make
