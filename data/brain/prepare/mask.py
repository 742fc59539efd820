"""Where in a head is the brain, when no mask says so.

`nonzero`: the image has been stripped of its skull before; what stands out from its background is
brain. `threshold`: all above the lower of Otsu's two thresholds of the smoothed and field-corrected
image, cut loose from skin and fat by an erosion, of which the largest part is grown back, closed
and filled. `auto` takes the first where both nearly agree, as then nothing but brain is there, and
the second elsewhere.

The threshold method is simple and fast. It errs by some millimetres where the brain touches its
coverings; masks of a dedicated tool, put beside the volumes, are better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from data.brain.prepare.settings import MaskMethod
from data.scans.volume import Millimetres

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

GRID = 2.0  # millimetres, fine enough for a mask and quick
SMOOTHING = 1.5  # millimetres, against noise
FIELD = 25.0  # millimetres over which the coil's field changes
BACKGROUND = 0.08  # of the bright tissue's value
BRIDGE = 5.0  # half the width in millimetres of what may tie a brain to its coverings
CLOSING = 8.0  # half the width in millimetres of the furrows that are closed
AGREE = 0.8  # share of what is not background that must be brain to be taken for stripped


@dataclass(frozen=True, kw_only=True)
class FoundMask:
    """A mask, and the method that found it."""

    mask: Mask  # (Z, H, W)
    method: MaskMethod


def find_mask(image: Image, voxel_size: Millimetres, method: MaskMethod) -> FoundMask | None:
    """The brain in an image (Z, H, W); None if nothing stands out from the background."""
    if not image.max() > image.min():
        return None
    image = image - image.min()
    nonzero = _standing_out(image, voxel_size)
    if method != "nonzero":
        threshold = _threshold(image, voxel_size)
        if method == "threshold" or threshold.sum() < AGREE * _outlined(nonzero).sum():
            return FoundMask(mask=threshold, method="threshold") if threshold.any() else None
    return FoundMask(mask=nonzero, method="nonzero") if nonzero.any() else None


def _standing_out(image: Image, voxel_size: Millimetres) -> Mask:
    bright = float(np.percentile(image[image > 0], 98))
    return _filled(_without_specks(image > BACKGROUND * bright), voxel_size, 2.0)


def _outlined(mask: Mask) -> Mask:
    """Every slice filled: of a whole head, bone as well, wherever the volume cuts through it."""
    return np.stack([ndimage.binary_fill_holes(one) for one in mask])


def _threshold(image: Image, voxel_size: Millimetres) -> Mask:
    coarse = _resampled(image, [size / GRID for size in voxel_size], image.shape)
    smooth = ndimage.gaussian_filter(coarse, SMOOTHING / GRID)
    bright = float(np.percentile(smooth[smooth > 0], 98))
    head = ndimage.binary_fill_holes(_largest(smooth > BACKGROUND * bright))
    flat = _without_field(smooth, head)
    tissue = head & (flat > _lower_threshold(flat[head]))
    core = _largest(_eroded(tissue, BRIDGE))
    brain = tissue & _dilated(core, BRIDGE + GRID)
    brain = _filled(_largest(brain), (GRID, GRID, GRID), CLOSING)
    steps = [fine / coarse for fine, coarse in zip(image.shape, brain.shape, strict=True)]
    return _resampled(brain.astype(np.float32), steps, brain.shape, image.shape) > 0.5


def _lower_threshold(values: Image) -> float:
    """Of three classes the lowest is bone, air and, in T1, fluid."""
    try:
        return float(threshold_multiotsu(values, classes=3)[0])
    except ValueError:  # there are not as many different values
        return 0.5 * float(values.mean())


def _without_field(smooth: Image, head: Mask) -> Image:
    """The image over its mean in the neighbourhood, so that one threshold does everywhere."""
    weight = ndimage.gaussian_filter(head.astype(np.float32), FIELD / GRID)
    mean = ndimage.gaussian_filter(smooth * head, FIELD / GRID) / np.maximum(weight, 1e-3)
    return np.asarray(smooth / np.maximum(mean, 1e-6 * smooth.max()), dtype=np.float32)


def _resampled(
    values: Image,
    steps: list[float],
    shape: tuple[int, ...],
    exact: tuple[int, ...] | None = None,
) -> Image:
    target = exact or tuple(
        max(1, round(count * step)) for count, step in zip(shape, steps, strict=True)
    )
    zoom = [new / old for new, old in zip(target, shape, strict=True)]
    return np.asarray(
        ndimage.zoom(values, zoom, order=1, mode="nearest", grid_mode=True), dtype=np.float32
    )


def _without_specks(mask: Mask) -> Mask:
    """What is at least a hundredth of all; a skin around the brain, if there is one, stays."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    large = np.bincount(labels.ravel()) >= 0.01 * mask.sum()
    large[0] = False
    return np.asarray(large[labels])


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _eroded(mask: Mask, millimetres: float) -> Mask:
    """On the coarse grid."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1), GRID)[1:-1, 1:-1, 1:-1]
    return np.asarray(distance > millimetres)


def _dilated(mask: Mask, millimetres: float, voxel_size: Millimetres | None = None) -> Mask:
    if not mask.any():
        return mask
    distance = ndimage.distance_transform_edt(~mask, voxel_size or (GRID, GRID, GRID))
    return np.asarray(distance <= millimetres)


def _filled(mask: Mask, voxel_size: Millimetres, closing: float) -> Mask:
    """Closed by so many millimetres, and without holes."""
    margin = [int(np.ceil(closing / size)) + 1 for size in voxel_size]
    inner = tuple(slice(one, -one) for one in margin)
    padded = np.pad(mask, [(one, one) for one in margin])
    grown = _dilated(padded, closing, voxel_size)
    shrunk = ndimage.distance_transform_edt(grown, voxel_size) > closing
    return np.asarray(ndimage.binary_fill_holes(shrunk | padded)[inner])
