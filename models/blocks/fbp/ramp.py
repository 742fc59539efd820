"""The ramp filter along the detector, times a frequency window, through torch's FFT."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

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
    response = _response(geometry.detectors, geometry.cell_width, window.dtype, window.device)
    filtered: Tensor = _Filter.apply(sinogram, window * response)
    return filtered


class _Filter(torch.autograd.Function):
    """Multiplication by a real factor in frequency space, its own transpose.

    Written out because the chain of transforms and products takes twice as long by itself.
    """

    @staticmethod
    def forward(ctx: Any, sinogram: Tensor, factor: Tensor) -> Tensor:
        filtered = torch.empty_like(sinogram)
        kept = []
        for part, place in zip(_parts(sinogram), _parts(filtered), strict=True):
            spectrum = _spectrum(part)
            if ctx.needs_input_grad[1]:
                kept.append(spectrum)
                place.copy_(_projections(spectrum * factor, sinogram))
            else:
                place.copy_(_projections(spectrum.mul_(factor), sinogram))
        ctx.save_for_backward(factor, *kept)
        return filtered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        factor, *kept = ctx.saved_tensors
        of_sinogram = torch.empty_like(grad) if ctx.needs_input_grad[0] else None
        products = []
        for index, part in enumerate(_parts(grad)):
            of_part = _spectrum(part)
            if of_sinogram is not None:
                shaped = _projections(of_part * factor, grad)
                _parts(of_sinogram)[index].copy_(shaped)
            if kept:
                products.append(_products(kept[index], of_part))
        if not kept:
            return of_sinogram, None
        return of_sinogram, _factor_gradient(torch.stack(products).sum(dim=0), factor)


def _parts(images: Tensor) -> Sequence[Tensor]:
    """What is filtered at once: a CPU takes as long for memory of a batch as for its transforms."""
    return images.split(1) if images.device.type == "cpu" else (images,)


def _spectrum(projections: Tensor) -> Tensor:
    return torch.fft.rfft(projections, n=padded_length(projections.shape[-1]))


def _projections(spectrum: Tensor, like: Tensor) -> Tensor:
    detectors = like.shape[-1]
    return torch.fft.irfft(spectrum, n=padded_length(detectors))[..., :detectors]


def _products(spectrum: Tensor, of_grad: Tensor) -> Tensor:
    """Real parts, summed over the images, in the room of `of_grad`."""
    return torch.view_as_real(of_grad.conj_physical_().mul_(spectrum)).sum(dim=(0, 1))[..., 0]


def _factor_gradient(products: Tensor, factor: Tensor) -> Tensor:
    """By Parseval's theorem, where each frequency but the first and the last stands for two."""
    products /= factor.shape[-1] - 1
    products[..., [0, -1]] /= 2
    return products.sum_to_size(factor.shape)


@lru_cache(maxsize=16)
def _response(
    detectors: int, cell_width: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    return constant(ramp_response(detectors, cell_width), dtype, device)
