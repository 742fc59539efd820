"""Where in a head is the brain, when no mask says so.

`nonzero`: the image has been stripped of its skull before; what stands out from its background is
brain. `threshold`: all above the lower of Otsu's two thresholds of the smoothed and field-corrected
image, cut loose from skin, muscles and neck by an erosion, as hard as it takes to leave no more
than a brain's size, of which what lies deepest in the head is grown back, closed and filled. `auto`
takes the first where both nearly agree and no more than a brain is there, and the second elsewhere.
`deepbet`: a trained network, which is an extra.

The threshold method errs by some millimetres where the brain touches its coverings; `doubts` says
what looks wrong of any mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from data.brain.prepare.masks.deepbet import deepbet_mask
from data.brain.prepare.settings import MaskMethod
from data.brain.volume import touches_edge
from data.scans.volume import Millimetres

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

GRID = 2.0  # millimetres, fine enough for a mask and quick
SMOOTHING = 1.5  # millimetres, against noise
FIELD = 25.0  # millimetres over which the coil's field changes
BACKGROUND = 0.08  # of the bright tissue's value
# Half the widths in millimetres of what may tie a brain to its coverings, muscles and neck; each is
# tried where the one before left more than a brain.
BRIDGES = (5.0, 7.0, 9.0, 11.0, 13.0, 15.0)
LARGEST = 2.0e6  # cubic millimetres of a brain
CLOSING = 8.0  # half the width in millimetres of the furrows that are closed
USUAL = (0.8, 2.2)  # litres of a brain with what is around it
OVER = 0.15  # share of a mask that may lie over background
EMPTY = 0.15  # share of a volume's voxels that are background, at least
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
    if method == "deepbet":
        mask = deepbet_mask(image)
        return FoundMask(mask=mask, method="deepbet") if mask.any() else None
    image = image - image.min()
    nonzero = _standing_out(image, voxel_size)
    if method != "nonzero":
        threshold = _threshold(image, voxel_size)
        whole = nonzero.sum() * np.prod(voxel_size) > LARGEST
        alike = threshold.sum() >= AGREE * _outlined(nonzero).sum()
        if method == "threshold" or whole or not alike:
            return FoundMask(mask=threshold, method="threshold") if threshold.any() else None
    return FoundMask(mask=nonzero, method="nonzero") if nonzero.any() else None


def doubts(image: Image, mask: Mask, voxel_size: Millimetres) -> tuple[str, ...]:
    """What speaks against a mask, or against its image.

    Args:
        image: (Z, H, W), a whole volume.
        mask: (Z, H, W).
        voxel_size: mm between slices, rows and columns.
    """
    found = []
    litres = float(mask.sum() * np.prod(voxel_size)) / 1e6
    low, high = USUAL
    if not low <= litres <= high:
        found.append(f"{litres:.2f} l is no brain of a grown person ({low:g} to {high:g} l)")
    if touches_edge(mask):
        found.append("the mask touches the edge of the volume, so that some may be cut off")
    bright = float(np.percentile(image, 98))
    background = image - image.min() < BACKGROUND * (bright - image.min())
    over = float(background[mask].mean()) if mask.any() else 0.0
    if over > OVER:
        found.append(f"{over:.0%} of the mask lie over background: it may be of another volume")
    if background.mean() < EMPTY:
        found.append("the volume has no background, as no head in air has")
    return tuple(found)


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
    brain = _cut_loose(tissue, head)
    steps = [fine / coarse for fine, coarse in zip(image.shape, brain.shape, strict=True)]
    return _resampled(brain.astype(np.float32), steps, brain.shape, image.shape) > 0.5


def _cut_loose(tissue: Mask, head: Mask) -> Mask:
    """What lies deepest in the head, cut from all else as hard as a brain's size asks for."""
    deep = ndimage.distance_transform_edt(np.pad(head, 1), GRID)[1:-1, 1:-1, 1:-1] ** 2
    inside = ndimage.distance_transform_edt(np.pad(tissue, 1), GRID)[1:-1, 1:-1, 1:-1]
    brain = tissue
    for bridge in BRIDGES:
        core = _deepest(inside > bridge, deep)
        if not core.any():
            break
        brain = tissue & _dilated(core, bridge + GRID)
        brain = _filled(_largest(brain), (GRID, GRID, GRID), CLOSING)
        if brain.sum() * GRID**3 <= LARGEST:
            break
    return brain


def _deepest(mask: Mask, deep: NDArray[np.float64]) -> Mask:
    """Its part that is deepest and largest, taken together."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sums = np.bincount(labels.ravel(), weights=deep.ravel())
    sums[0] = 0
    return np.asarray(labels == sums.argmax())


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
