"""Filtered backprojection: absolute scale, trainable or fixed window."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from data.geometry import ParallelGeometry
from models.blocks.fbp.backprojection import backproject, check_sinogram
from models.blocks.fbp.ramp import filter_detector
from models.blocks.fbp.traced import traced_backprojection
from models.blocks.fbp.window import (
    FrequencyWindow,
    InitialWindow,
    fixed_window,
    padded_frequencies,
)


def filtered_backprojection(sinogram: Tensor, geometry: ParallelGeometry, window: Tensor) -> Tensor:
    """The image whose line integrals the sinogram holds.

    f(x, y) ≈ Δφ·Σ_k q_k(x·cos φ_k + y·sin φ_k) with q_k the filtered projection (Kak & Slaney
    1988, eq. 3.26). Δφ is the angle step, but no more than π over the number of angles, so that a
    scan over more than half a turn is not counted twice.

    Args:
        sinogram: (B, 1, A, D) line integrals over metres, float32 or float64.
        geometry: the scan.
        window: (bins,) or (A, bins), see `ramp.filter_detector`.

    Returns:
        (B, 1, N, N), the integrand.

    Raises:
        DataError: the sinogram does not fit the geometry.
        SettingsError: the geometry is empty.
    """
    check_sinogram(sinogram, geometry)
    step = min(abs(geometry.angle_step), math.pi / geometry.angles)
    if torch.compiler.is_exporting():
        return traced_backprojection(sinogram, geometry, window * step)
    # The step goes into the window, the smallest tensor of all.
    return backproject(filter_detector(sinogram, geometry, window * step), geometry)


def fixed_window_fbp(
    sinogram: Tensor,
    geometry: ParallelGeometry,
    window: InitialWindow = "ones",
    frequency_scaling: float = 1.0,
) -> Tensor:
    """Classical FBP, to compare with: Ram-Lak by default, or another fixed window.

    Args:
        sinogram: (B, 1, A, D) line integrals over metres.
        geometry: the scan.
        window: ones (Ram-Lak), hann, shepp_logan or cosine.
        frequency_scaling: the window's cut-off as a fraction of Nyquist, in (0, 1].

    Returns:
        (B, 1, N, N).

    Raises:
        DataError: the sinogram does not fit the geometry.
        SettingsError: the scaling is outside (0, 1].
    """
    image: Tensor = FixedWindowFbp(geometry, window, frequency_scaling)(sinogram)
    return image


class FixedWindowFbp(nn.Module):
    """FBP with a window that does not train, and is no part of any state."""

    window: Tensor  # (bins,)

    def __init__(
        self,
        geometry: ParallelGeometry,
        window: InitialWindow = "ones",
        frequency_scaling: float = 1.0,
    ) -> None:
        """Make the window.

        Raises:
            SettingsError: the scaling is outside (0, 1].
        """
        super().__init__()
        self.geometry = geometry
        values = fixed_window(window, padded_frequencies(geometry.detectors), frequency_scaling)
        self.register_buffer("window", torch.from_numpy(values), persistent=False)

    def forward(self, sinogram: Tensor) -> Tensor:
        """Reconstruct (B, 1, A, D) line integrals over metres into (B, 1, N, N)."""
        return filtered_backprojection(sinogram, self.geometry, self.window.to(sinogram))


class FilteredBackprojection(nn.Module):
    """FBP with a trainable window; the window's parameters are its only state."""

    def __init__(self, geometry: ParallelGeometry, window: FrequencyWindow) -> None:
        super().__init__()
        self.geometry = geometry
        self.window = window

    def forward(self, sinogram: Tensor) -> Tensor:
        """Reconstruct (B, 1, A, D) line integrals over metres into (B, 1, N, N).

        Computed in float32 under mixed precision too: a ramp magnifies rounding.
        """
        with torch.autocast(sinogram.device.type, enabled=False):
            return filtered_backprojection(sinogram.float(), self.geometry, self.window())
