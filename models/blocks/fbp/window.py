"""Frequency windows of the FBP filter: fixed ones, and three with trainable parameters.

Frequencies f are fractions of the detector's Nyquist frequency, 0 to 1. The padded transform has
more frequencies than a projection has cells, so `full` and `per_frequency` keep one weight for
each of D evenly spaced frequencies (D cells: 513 weights an angle at full size) and interpolate
linearly between them; D = 513 gives the published 513 and 513 000 parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Literal, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.geometry import ParallelGeometry
from models.blocks.fbp.constant import constant
from models.blocks.fbp.ramp import frequency_bins
from protocol.errors import SettingsError

WindowKind = Literal["full", "per_frequency", "fourier"]
InitialWindow = Literal["ones", "hann", "shepp_logan", "cosine"]


def fixed_window(
    name: InitialWindow, frequencies: NDArray[np.float64], frequency_scaling: float = 1.0
) -> NDArray[np.float64]:
    """The named window at `frequencies`, stretched to [0, frequency_scaling] and 0 above.

    Args:
        name: `ones` is Ram-Lak, the ramp alone.
        frequencies: fractions of the Nyquist frequency, any shape.
        frequency_scaling: the cut-off, in (0, 1].

    Raises:
        SettingsError: the scaling is outside (0, 1], or there is no such window.
    """
    if not 0 < frequency_scaling <= 1:
        raise SettingsError(f"frequency_scaling must be in (0, 1], found {frequency_scaling}")
    scaled = frequencies / frequency_scaling
    if name == "ones":
        values = np.ones_like(scaled)
    elif name == "hann":
        values = 0.5 + 0.5 * np.cos(np.pi * scaled)
    elif name == "shepp_logan":
        values = np.sinc(scaled / 2)
    elif name == "cosine":
        values = np.cos(np.pi / 2 * scaled)
    else:
        raise SettingsError(
            f"initial_window: there is no window {name!r}; known are ones, hann, shepp_logan "
            "and cosine"
        )
    # A frequency at the cut-off is inside, whatever the division rounds to.
    return np.where(scaled <= 1 + 1e-9, values, 0.0)


def padded_frequencies(detectors: int) -> NDArray[np.float64]:
    """The padded transform's frequencies, shape (bins,), from 0 to 1."""
    return np.linspace(0.0, 1.0, frequency_bins(detectors))


class FrequencyWindow(nn.Module, ABC):
    """A trainable window; calling it gives its value at the padded transform's frequencies."""

    @abstractmethod
    def forward(self) -> Tensor:
        """Shape (bins,), or (A, bins) where it depends on the angle."""


class KnotWindow(FrequencyWindow):
    """One weight for each of D frequencies, and for each angle if `angles` is given."""

    def __init__(self, initial: NDArray[np.float64], *, angles: int | None = None) -> None:
        super().__init__()
        self.detectors = len(initial)
        weight = torch.from_numpy(initial).float()
        if angles is not None:
            weight = weight.repeat(angles, 1)
        self.weight = nn.Parameter(weight)  # (D,) or (A, D)

    def forward(self) -> Tensor:
        """Shape (bins,) or (A, bins)."""
        lower, weight = _knots(self.detectors, self.weight.dtype, self.weight.device)
        upper = (lower + 1).clamp_max(self.detectors - 1)
        below, above = (self.weight.index_select(-1, knot) for knot in (lower, upper))
        return torch.lerp(below, above, weight)


class FourierWindow(FrequencyWindow):
    """w(f) = a₀ + Σ_l a_l·cos(πlf) + b_l·sin(πlf), l = 1 … L: 2L + 1 parameters.

    The period is twice the Nyquist frequency, as in Sun et al., "Data-driven filter design in
    FBP: transforming CT reconstruction with trainable Fourier series" (2024). It starts at the
    cosine series that is nearest to the initial window, with all sines 0; a window with a jump
    starts with that series' ripples.
    """

    def __init__(self, initial: NDArray[np.float64], harmonics: int) -> None:
        super().__init__()
        self.detectors = len(initial)
        self.harmonics = harmonics
        even = _fourier_basis(np.linspace(0.0, 1.0, len(initial)), harmonics)[:, : harmonics + 1]
        cosines = np.linalg.lstsq(even, initial, rcond=None)[0]
        coefficients = np.concatenate((cosines, np.zeros(harmonics)))
        self.coefficients = nn.Parameter(torch.from_numpy(coefficients).float())  # (2L + 1,)

    def forward(self) -> Tensor:
        """Shape (bins,)."""
        basis = _padded_basis(
            self.detectors, self.harmonics, self.coefficients.dtype, self.coefficients.device
        )
        return basis @ self.coefficients


def make_window(
    kind: WindowKind,
    geometry: ParallelGeometry,
    *,
    harmonics: int = 50,
    initial: InitialWindow = "ones",
    frequency_scaling: float = 1.0,
) -> FrequencyWindow:
    """A trainable window of the given kind for a scan.

    Raises:
        SettingsError: the scaling is outside (0, 1], or a series has more cosines than the
            detector has frequencies.
    """
    start = fixed_window(initial, np.linspace(0.0, 1.0, geometry.detectors), frequency_scaling)
    if kind == "full":
        return KnotWindow(start, angles=geometry.angles)
    if kind == "per_frequency":
        return KnotWindow(start)
    if kind == "fourier":
        _check_harmonics(harmonics, geometry.detectors)
        return FourierWindow(start, harmonics)
    assert_never(kind)


def _check_harmonics(harmonics: int, detectors: int) -> None:
    if not 1 <= harmonics < detectors:
        raise SettingsError(
            f"harmonics must be at least 1 and below the detector's {detectors} cells, "
            f"found {harmonics}"
        )


@lru_cache(maxsize=16)
def _knots(detectors: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """(the knot below each bin, the next knot's weight), each (bins,)."""
    position = padded_frequencies(detectors) * (detectors - 1)
    lower = np.floor(position)
    return (
        constant(lower, torch.int64, device),
        constant(position - lower, dtype, device),
    )


@lru_cache(maxsize=16)
def _padded_basis(
    detectors: int, harmonics: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The series' terms at the bins, shape (bins, 2L + 1)."""
    return constant(_fourier_basis(padded_frequencies(detectors), harmonics), dtype, device)


def _fourier_basis(frequencies: NDArray[np.float64], harmonics: int) -> NDArray[np.float64]:
    """Constant, cosines, sines: shape (frequencies, 2L + 1)."""
    phase = math.pi * frequencies[:, None] * np.arange(harmonics + 1)
    return np.concatenate((np.cos(phase), np.sin(phase[:, 1:])), axis=1)
