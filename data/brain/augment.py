"""Healthy slices as another scanner might have shown their volumes: intensities change, not shape.

The four changes, their order and their probabilities are those of the public code of Behrendt et
al., "Guided reconstruction with conditioned diffusion models for unsupervised anomaly detection in
brain MRIs" (2023); their strengths are torchio's own, which draws them. All four are of whole
volumes; what one slice needs of them is computed here, with torchio's values to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from data.scans.volume import Millimetres

GAMMA, BIAS_FIELD, BLUR, GHOSTING = 0.5, 0.25, 0.25, 0.5  # how often each is applied
_TRUNCATED = 4.0  # deviations after which a Gaussian ends

Image = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class _Changes:
    """What was drawn; None where a change is not made."""

    gamma: float | None
    field: Sequence[float] | None  # coefficients of a polynomial, in torchio's order
    order: int  # of that polynomial
    blur: NDArray[np.float64] | None  # (3,) deviations in voxels
    ghosts: tuple[int, int, float] | None  # every which plane of which axis' spectrum is how weak


def augmented_slice(volume: Image, number: int, voxel_size: Millimetres) -> Image:
    """A slice of a volume that is changed by what torch's global generator draws.

    Args:
        volume: (Z, H, W) in [0, 1].
        number: of the slice.
        voxel_size: between slices, rows and columns: blurring is in millimetres.

    Returns:
        (H, W); values may leave [0, 1] a little, as published.
    """
    drawn = _drawn(voxel_size)
    weights = _weights_of_slices(drawn, len(volume), number)
    needed = np.flatnonzero(weights)
    first, end = int(needed[0]), int(needed[-1]) + 1
    part = np.array(volume[first:end], dtype=np.float32)
    if drawn.gamma is not None:
        part = torch.from_numpy(part).pow(drawn.gamma).numpy()
    if drawn.field is not None:
        part *= _bias_field(volume.shape, (first, end), drawn.field, drawn.order)
    image = np.tensordot(weights[first:end], part, axes=1)
    if drawn.blur is not None:
        image = ndimage.gaussian_filter(image, drawn.blur[1:], truncate=_TRUNCATED)
    if drawn.ghosts is not None and drawn.ghosts[1] > 0:
        every, axis, weakness = drawn.ghosts
        kept = _kept(image.shape[axis - 1], every, weakness)
        image = np.apply_along_axis(
            lambda line: np.fft.ifft(np.fft.fft(line) * kept).real, axis - 1, image
        )
    return np.ascontiguousarray(image, dtype=np.float32)


@lru_cache(maxsize=1)
def _random() -> tuple[Any, ...]:
    import torchio  # takes seconds to import, and is not needed by others

    return (
        torchio.RandomGamma(p=GAMMA),
        torchio.RandomBiasField(p=BIAS_FIELD),
        torchio.RandomBlur(p=BLUR),
        torchio.RandomGhosting(p=GHOSTING),
    )


def _drawn(voxel_size: Millimetres) -> _Changes:
    """In the order in which a torchio.Compose of the four draws."""
    gamma, field, blur, ghosting = _random()
    torch.rand(1)  # whether to make any
    exponent = _params(gamma, gamma.log_gamma_range)
    coefficients = _params(field, field.order, field.coefficients_range)
    deviations = _params(blur, blur.std_ranges)
    numbers = tuple(map(int, ghosting.num_ghosts_range))
    found = _params(ghosting, numbers, ghosting.axes, ghosting.intensity_range, ghosting.restore)
    every, axis, weakness = (0, 0, 0.0) if found is None else found[:3]
    return _Changes(
        gamma=None if exponent is None else float(exponent),
        field=coefficients,
        order=field.order,
        blur=None if deviations is None else np.array(deviations) / np.array(voxel_size),
        ghosts=(every, axis, weakness) if every and weakness else None,
    )


def _params(change: Any, *ranges: Any) -> Any:
    """What a change is made by; None if it is not made this time."""
    if torch.rand(1).item() > change.probability:
        return None
    found = change.get_params(*ranges)
    torch.rand(1)  # torchio asks once more, whether to make what it has drawn
    return found


def _weights_of_slices(drawn: _Changes, count: int, number: int) -> NDArray[np.float32]:
    """(count,) how much of each slice is in the wanted one, by blurring and ghosts across them."""
    weights = np.zeros(count)
    weights[number] = 1.0
    if drawn.ghosts is not None and drawn.ghosts[1] == 0:
        every, _, weakness = drawn.ghosts
        spread = np.fft.ifft(_kept(count, every, weakness)).real
        weights = spread[(number - np.arange(count)) % count]
    if drawn.blur is not None:
        # Column by column what a slice becomes; its transpose takes the weights back to slices.
        blurred = ndimage.gaussian_filter1d(
            np.eye(count), drawn.blur[0], axis=0, truncate=_TRUNCATED
        )
        weights = weights @ blurred
    return weights.astype(np.float32)


def _kept(count: int, every: int, weakness: float) -> NDArray[np.float64]:
    """(count,) what is left of each frequency of an axis, the one of zero first."""
    kept = np.ones(count)
    kept[::every] -= weakness
    kept[count // 2] = 1.0  # the middle of the spectrum, without which nothing would be left
    return np.fft.ifftshift(kept)


def _bias_field(
    shape: tuple[int, ...], part: tuple[int, int], coefficients: Sequence[float], order: int
) -> Image:
    """The exponential of a polynomial over a volume (Z, H, W), of its slices from `part` alone."""
    lines = [np.arange(-side / 2, side / 2) + 0.5 for side in shape]
    across, down, along = (line / line.max() if line.max() > 0 else line for line in lines)
    across = across[slice(*part)]
    total = np.zeros((len(across), len(down), len(along)))
    places = [
        (i, j, k)
        for i in range(order + 1)
        for j in range(order + 1 - i)
        for k in range(order + 1 - (i + j))
    ]
    for coefficient, (i, j, k) in zip(coefficients, places, strict=True):
        plane = (coefficient * across**i)[:, None] * down**j
        total += plane[:, :, None] * along**k
    return np.exp(total).astype(np.float32)
