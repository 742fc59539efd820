"""Slices of which some patches keep only their low or only their high frequencies.

Iqbal et al. 2023, "Unsupervised anomaly detection in medical images using masked diffusion model":
a model that restores such patches has seen changes other than noise before it meets a lesion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.blocks.diffusion.boxes import inside
from models.blocks.diffusion.hashing import integers, uniforms

Places = Literal["anywhere", "published"]

RIM = 5  # pixels that published patches keep off the box around a brain

BAND_STREAM, PASS_STREAM, COUNT_STREAM, SIZE_STREAM, PLACE_STREAM = 301, 302, 303, 304, 305


@dataclass(frozen=True, kw_only=True)
class FrequencyMasks:
    """What is masked, with the published values as default."""

    lowest_band: int = 2  # v: the Fourier box has a side of 2v frequencies about zero
    highest_band: int = 10
    patches: int = 5  # at most
    smallest_side: float = 0.09  # of a patch, as a fraction of the brain's extent
    largest_side: float = 0.18
    places: Places = "anywhere"  # `published`: see `_published`


def mask_frequencies(image: Tensor, brain: Tensor, seeds: Tensor, masks: FrequencyMasks) -> Tensor:
    """Each slice with 0 to `patches` patches low- or high-pass filtered.

    One filter a slice, one Fourier transform for the batch, nothing leaves the device.

    Args:
        image: (B, 1, H, W), zero outside the brain.
        brain: (B, 1, H, W), 1 inside the brain; a slice without any is returned as it is.
        seeds: (B,) int64; a sample's masks are a function of its own seed and brain.

    Returns:
        (B, 1, H, W); a high-passed patch has mean zero, so values may be negative.
    """
    bands = integers(
        seeds, BAND_STREAM, 1, below=masks.highest_band - masks.lowest_band + 1
    ).squeeze(1)
    low = low_pass(image, bands + masks.lowest_band)
    keeps_low = integers(seeds, PASS_STREAM, 1, below=2).bool()[..., None, None]
    filtered = torch.where(keeps_low, low, image - low)
    chosen = patches(brain, seeds, masks) & (brain > 0.5)
    return torch.where(chosen, filtered, image)


def low_pass(image: Tensor, bands: Tensor) -> Tensor:
    """Each slice (B, 1, H, W) from its frequencies −v … v − 1 along both axes, v being (B,).

    The real part of the inverse transform of that box, which is not symmetric; for a real slice
    it is the inverse transform of the box averaged with its mirror image, so half the spectrum
    will do.
    """
    height, width = image.shape[-2:]
    rows, columns = _in_band(height, bands), _in_band(width, bands)
    box = (_outer(rows, columns) + _outer(_mirrored(rows), _mirrored(columns))) / 2
    spectrum = torch.fft.rfft2(image.float()) * box[:, None, :, : width // 2 + 1]
    return torch.fft.irfft2(spectrum, s=(height, width))


def patches(brain: Tensor, seeds: Tensor, masks: FrequencyMasks) -> Tensor:
    """Where the patches lie: (B, 1, H, W) bool, within the brain's bounding box."""
    height, width = brain.shape[-2:]
    number = masks.patches
    share = uniforms(seeds, SIZE_STREAM, number * 2).reshape(len(seeds), number, 2)
    place = uniforms(seeds, PLACE_STREAM, number * 2).reshape(len(seeds), number, 2)
    laid = _anywhere if masks.places == "anywhere" else _published
    corners, sizes = laid(brain, share, place, masks)
    found = inside(corners, sizes, height, width)
    count = integers(seeds, COUNT_STREAM, 1, below=number + 1)
    used = torch.arange(number, device=brain.device) < count
    return (found & used[..., None, None]).any(dim=1, keepdim=True)


def _anywhere(
    brain: Tensor, share: Tensor, place: Tensor, masks: FrequencyMasks
) -> tuple[Tensor, Tensor]:
    """Corners and sizes (B, N, 2) of patches anywhere in the brain's box, sized by its sides."""
    first, extent = _bounding_box(brain)
    smallest = _pixels(masks.smallest_side * extent)
    largest = _pixels(masks.largest_side * extent)
    sizes = smallest + (share * (largest - smallest + 1)).floor()
    return first + (place * (extent - sizes + 1)).floor(), sizes


def _published(
    brain: Tensor, share: Tensor, place: Tensor, masks: FrequencyMasks
) -> tuple[Tensor, Tensor]:
    """The same as in the public code: both sides are sized by the brain's rows, off its rim.

    A corner lies 5 pixels at least behind the box's first, and so far before its last that the
    largest patch would end 5 pixels before it.
    """
    first, extent = _bounding_box(brain)
    rows = extent[..., :1].round()
    largest = (rows * round(100 * masks.largest_side) / 100).floor()
    smallest = (largest * masks.smallest_side / masks.largest_side).floor()
    sizes = smallest + (share * (largest - smallest + 1)).floor()
    free = (extent - 2 * RIM - largest).clamp(min=1)
    return first + (place * free).floor() + RIM, sizes


def _bounding_box(brain: Tensor) -> tuple[Tensor, Tensor]:
    """Its first row and column and its height and width, both (B, 1, 2), of (B, 1, H, W)."""
    present = brain > 0.5
    sides = [present.any(dim=3), present.any(dim=2)]
    first = torch.stack([side.float().argmax(dim=2) for side in sides], dim=2)
    after = torch.stack(
        [side.shape[2] - side.flip(2).float().argmax(dim=2) for side in sides], dim=2
    )
    return first.float(), (after - first).float()


def _in_band(length: int, bands: Tensor) -> Tensor:
    """1 for each frequency of a transform of `length` in −v … v − 1, (B, length)."""
    frequencies = torch.fft.fftfreq(length, 1 / length, device=bands.device).round()
    return ((frequencies >= -bands[:, None]) & (frequencies < bands[:, None])).float()


def _mirrored(band: Tensor) -> Tensor:
    """The values (B, length) at minus each frequency."""
    return band.flip(1).roll(1, dims=1)


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """(B, H, W) from (B, H) and (B, W)."""
    return rows[:, :, None] * columns[:, None, :]


def _pixels(length: Tensor) -> Tensor:
    return length.floor().clamp(min=1)
