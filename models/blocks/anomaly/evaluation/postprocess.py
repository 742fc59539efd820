"""From a residual to a segmentation: erode the brain, filter, threshold, drop specks.

The steps and their published values are those of Behrendt et al., "Guided reconstruction with
conditioned diffusion models for unsupervised anomaly detection in brain MRIs", 2023, and of
Baur et al., "Autoencoders for unsupervised anomaly segmentation in brain MR images", 2021.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from models.blocks.anomaly.evaluation.median_kernel import median_lines

Voxels = NDArray[np.float32]  # (Z, H, W)
Mask = NDArray[np.bool_]  # (Z, H, W)

_PUBLISHED_WIDTH_PER_EROSION = 25  # pixels of a slice's width
_IN_PLANE = ndimage.generate_binary_structure(2, 1)[np.newaxis]  # (1, 3, 3): a cross
ALL_NEIGHBOURS = ndimage.generate_binary_structure(3, 3)  # 26 of them


class Filtering(BaseModel):
    """What makes the map that is thresholded out of a residual."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    erosion: int = Field(ge=0, description="in-plane erosions of the brain mask")
    median_size: int = Field(5, ge=1, le=15, description="the cubic median filter's edge, odd")


def published_erosion(width: int) -> int:
    """The erosions that the published protocol uses on slices of `width` pixels."""
    return width // _PUBLISHED_WIDTH_PER_EROSION


def filtered_residual(residual: Voxels, mask: Mask, filtering: Filtering) -> Voxels:
    """The residual inside the eroded brain, median-filtered.

    Args:
        residual: (Z, H, W), not negative.
        mask: (Z, H, W), the brain.

    Returns:
        (Z, H, W), zero where the filter's window lies mostly outside of the eroded brain.
    """
    inside = eroded(mask, filtering.erosion)
    return masked_median(residual, inside, filtering.median_size)


def eroded(mask: Mask, iterations: int) -> Mask:
    """The mask without its outermost pixels, slice by slice, `iterations` times."""
    if iterations == 0:
        return mask
    return np.asarray(ndimage.binary_erosion(mask, _IN_PLANE, iterations=iterations))


def masked_median(volume: Voxels, mask: Mask, size: int) -> Voxels:
    """The cubic median filter of `volume · mask`, which must not be negative; edges reflect.

    It equals scipy.ndimage.median_filter in a fraction of the time.
    """
    if size % 2 == 0:
        raise ValueError(f"the median of {size}³ values is not one of them; the edge must be odd")
    found = np.zeros(volume.shape, np.float32)
    if size == 1 or not mask.any():
        return np.where(mask, volume, found)
    box = _around(mask, size // 2)
    found[box] = _median_in_box(volume, mask, box, size)
    return found


def drop_small_components(mask: Mask, largest_dropped: int) -> Mask:
    """`mask` without its 26-connected components of `largest_dropped` voxels or fewer."""
    if largest_dropped == 0 or not mask.any():
        return mask
    box = _around(mask, 0)
    labels, _ = ndimage.label(mask[box], ALL_NEIGHBOURS)
    kept = np.bincount(labels.ravel()) > largest_dropped
    kept[0] = False  # the background
    result = np.zeros_like(mask)
    result[box] = kept[labels]
    return result


def _median_in_box(
    volume: Voxels, mask: Mask, box: tuple[slice, slice, slice], size: int
) -> Voxels:
    half = size // 2
    outer = tuple(slice(part.start, part.stop + 2 * half) for part in box)
    # NumPy's "symmetric" is what SciPy, whose default the published protocol uses, calls "reflect".
    masked = np.where(mask, volume, np.float32(0))
    padded = np.ascontiguousarray(np.pad(masked, half, mode="symmetric")[outer])
    lines = np.pad(mask.any(axis=2), half, mode="symmetric")[outer[:2]]
    wanted = sliding_window_view(lines, (size, size)).any(axis=(2, 3))
    found = np.zeros([part.stop - part.start for part in box], np.float32)
    median_lines(padded.view(np.int32), wanted, size, found.view(np.int32))
    return found


def _around(mask: Mask, margin: int) -> tuple[slice, slice, slice]:
    """The smallest box that holds the mask, with a margin as far as there is room."""
    spans = []
    for axis, extent in enumerate(mask.shape):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        spans.append(
            slice(max(0, int(filled[0]) - margin), min(extent, int(filled[-1]) + margin + 1))
        )
    return spans[0], spans[1], spans[2]
