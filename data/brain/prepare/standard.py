"""A source volume as the layout wants it: upright, 1 mm, no skull, the brain in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import nibabel
import numpy as np
from numpy.typing import NDArray

from data.brain.prepare.content import checked
from data.brain.prepare.masks.find import doubts, find_mask
from data.brain.prepare.settings import MaskMethod
from data.brain.prepare.sources import Source
from data.brain.volume import read_labels, read_upright, touches_edge
from data.scans.volume import Millimetres, UprightVolume
from protocol.errors import DataError

T = TypeVar("T", bound=np.generic)

VOXEL = 1.0  # millimetres, as published
MARGIN = 10  # voxels around the brain, so that a variant of it still fits


@dataclass(frozen=True, kw_only=True)
class StandardBrain:
    """All (Z, H, W), of voxels of 1 mm if no others are asked for."""

    image: NDArray[np.float32]  # its own intensities from 0 on, zero outside the mask
    mask: NDArray[np.bool_]
    segmentation: NDArray[np.bool_] | None
    mask_from: str  # a file's name, or the method that found it
    remarks: tuple[str, ...] = ()  # on how it was read, and what speaks against the mask
    # From its indices to mm right, anterior and superior; None of a variant, which is nowhere.
    affine: NDArray[np.float64] | None = None  # (4, 4)
    lowest: float = 0.0  # the image's own value that became 0


def standardise(source: Source, method: MaskMethod) -> StandardBrain:
    """Read, resample, find the brain, and crop to it.

    Raises:
        DataError: a file is missing, damaged, beside the image, or has no brain.
    """
    return standardise_upright(read_upright(source.image), source, method)


def standardise_upright(
    upright: UprightVolume,
    source: Source,
    method: MaskMethod,
    voxel_size: Millimetres = (VOXEL, VOXEL, VOXEL),
) -> StandardBrain:
    """The same with what was read already, at another voxel size if that is asked for."""
    values, remarks = checked(source.image, upright.values)
    image, affine = _resampled(values, upright, voxel_size, labels=False)
    if source.mask is None:
        found = find_mask(image, voxel_size, method)
        if found is None:
            raise DataError(
                f"{source.image}: no brain stands out from the background; put a mask beside it, "
                "or choose another --mask_method"
            )
        mask = found.mask
        if found.method == "nonzero" and (
            native := find_mask(values, upright.voxel_size, "nonzero")
        ):
            # What is not zero ends with the scan's own voxels: resampling spreads coarse ones.
            mask = _labels(native.mask, upright, voxel_size)
        mask_from = f"method {found.method}"
    else:
        drawn = read_labels(source.mask, source.image, upright)
        mask, mask_from = _labels(drawn.labels, upright, voxel_size), source.mask.name
        if not mask.any():
            raise DataError(
                f"{source.mask} is empty, expected the brain; draw it anew, or leave it out"
            )
        if drawn.to_the_edge and not touches_edge(drawn.labels):
            remarks = (
                *remarks,
                f"the mask touches the edge of {mask_from}, so that some may be cut off",
            )
    segmentation = None
    if source.segmentation is not None:
        drawn = read_labels(source.segmentation, source.image, upright)
        segmentation = _labels(drawn.labels, upright, voxel_size)
    box = _box(mask)
    lowest = min(float(image[mask].min()), 0.0)
    return StandardBrain(
        image=_cut((image - lowest) * mask, box),
        mask=_cut(mask, box),
        segmentation=None if segmentation is None else _cut(segmentation & mask, box),
        mask_from=mask_from,
        affine=affine @ nibabel.affines.from_matvec(np.eye(3), [first for first, _ in box]),
        lowest=lowest,
        remarks=(*upright.remarks, *remarks, *doubts(image, mask, voxel_size)),
    )


def _resampled(
    values: NDArray[np.float32], like: UprightVolume, voxel_size: Millimetres, *, labels: bool
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """At that voxel size, and from the new indices to mm right, anterior and superior."""
    import torchio

    kind = torchio.LabelMap if labels else torchio.ScalarImage
    image = kind(tensor=values[np.newaxis], affine=np.diag([*like.voxel_size, 1.0]))
    resample = torchio.Resample(voxel_size, image_interpolation="linear", antialias=True)
    found = resample(image)
    to_like = np.diag([*(1 / np.array(like.voxel_size)), 1.0]) @ found.affine
    return np.asarray(found.numpy()[0], dtype=np.float32), like.affine @ to_like


def _labels(
    labels: NDArray[np.bool_], like: UprightVolume, voxel_size: Millimetres
) -> NDArray[np.bool_]:
    return _resampled(labels.astype(np.float32), like, voxel_size, labels=True)[0] > 0


def _box(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last + 1 voxel of the brain along each axis, with a margin; may be outside."""
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(mask.any(axis=others))
        sides.append((int(there[0]) - MARGIN, int(there[-1]) + 1 + MARGIN))
    return sides


def _cut(values: NDArray[T], box: list[tuple[int, int]]) -> NDArray[T]:
    """What is in the box; zero where that is outside the volume."""
    padded = np.pad(values, MARGIN)
    return padded[tuple(slice(first + MARGIN, end + MARGIN) for first, end in box)].copy()
