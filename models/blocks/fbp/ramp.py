"""The ramp filter along the detector, times a frequency window, through torch's FFT."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.geometry import ParallelGeometry
from models.blocks.fbp.constant import constant


def padded_length(detectors: int) -> int:
    """The FFT's length: even, at least twice the detector, a product of 2, 3 and 5.

    Twice the detector makes the circular convolution a linear one.
    """
    length = int(scipy.fft.next_fast_len(2 * detectors, real=True))
    while length % 2:
        length = int(scipy.fft.next_fast_len(length + 1, real=True))
    return length


def frequency_bins(detectors: int) -> int:
    """How many frequencies, 0 to Nyquist, the padded transform has."""
    return padded_length(detectors) // 2 + 1


@lru_cache(maxsize=16)
def ramp_response(detectors: int, cell_width: float) -> NDArray[np.float64]:
    """|f| in cycles per metre, shape (bins,), as the transform of its band-limited kernel.

    The kernel in space is h(0) = 1/(4τ²), h(n) = −1/(π²n²τ²) for odd n and 0 for even n, with τ
    the cell width in metres (Kak & Slaney 1988, eq. 3.61). Sampling |f| itself would put 0 at
    frequency 0, and so take a constant off the image.
    """
    length = padded_length(detectors)
    distance = np.minimum(np.arange(length), length - np.arange(length))
    kernel = np.zeros(length)
    kernel[0] = 0.25
    odd = distance % 2 == 1
    kernel[odd] = -1.0 / (np.pi * distance[odd]) ** 2
    return np.asarray(scipy.fft.rfft(kernel).real / cell_width)


def filter_detector(sinogram: Tensor, geometry: ParallelGeometry, window: Tensor) -> Tensor:
    """Convolve every projection with the ramp times `window`.

    Args:
        sinogram: (B, 1, A, D) line integrals.
        geometry: gives the cell width in metres.
        window: the factor at each of the `frequency_bins(D)` frequencies, shape (bins,), or
            (A, bins) where it depends on the angle. Gradients flow to it.

    Returns:
        (B, 1, A, D), the line integrals' unit per metre squared.
    """
    length = padded_length(geometry.detectors)
    response = _response(geometry.detectors, geometry.cell_width, window.dtype, window.device)
    factor = window * response
    spectrum = torch.view_as_real(torch.fft.rfft(sinogram, n=length))
    # A real factor on (real, imaginary) pairs keeps the window's gradient in real arithmetic.
    filtered = torch.view_as_complex(spectrum * factor.unsqueeze(-1))
    return torch.fft.irfft(filtered, n=length)[..., : geometry.detectors]


@lru_cache(maxsize=16)
def _response(
    detectors: int, cell_width: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    return constant(ramp_response(detectors, cell_width), dtype, device)
