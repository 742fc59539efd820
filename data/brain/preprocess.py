"""From a volume's files to what is trained on: crop, rescale, reduce.

1. Turn image, mask and segmentation upright (`data/brain/volume.py`), and smooth the image by as
   many iterations of curvature flow as are asked for; 3 as published.
2. Crop or pad them around the middle, to 192 × 192 × 100 at 1 mm as published.
3. Rescale the image so that the 1st and 99th percentile inside the mask become 0 and 1, clip,
   and set what lies outside the mask to 0.
4. Reduce to 96 × 96 × 50: the image by cubic B-splines, the labels by nearest neighbours.

Source: Behrendt et al., "Patched diffusion models for unsupervised anomaly detection in brain
MRI", MIDL 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.brain.lists import Case
from data.brain.settings import BrainSettings
from data.brain.volume import read_labels, read_upright
from data.scans.volume import Millimetres, UprightVolume
from protocol.errors import DataError

FLOW_TIME_STEP = 0.125  # as published


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """A preprocessed volume; all (Z, H, W)."""

    image: NDArray[np.float32]  # in [0, 1], zero outside the mask
    mask: NDArray[np.bool_]
    segmentation: NDArray[np.bool_]
    voxel_size: Millimetres  # between slices, rows and columns


def preprocess(case: Case, settings: BrainSettings) -> Reduced:
    """Read a case's files and do all steps.

    Raises:
        DataError: a file is missing, damaged or empty, or lies beside the image.
    """
    import torchio  # takes seconds to import, and is not needed once all volumes are cached

    image = read_upright(case.image)
    _check_image(case, image.values)
    mask = (
        image.values > 0 if case.mask is None else read_labels(case.mask, case.image, image).labels
    )
    segmentation = (
        np.zeros_like(mask)
        if case.segmentation is None
        else read_labels(case.segmentation, case.image, image).labels
    )
    rows, columns, slices = settings.crop
    smoothed = _smoothed(image, settings.curvature_flow)
    parts = [
        torchio.ScalarImage(**_part(smoothed, image.voxel_size)),
        torchio.LabelMap(**_part(mask, image.voxel_size)),
        torchio.LabelMap(**_part(segmentation, image.voxel_size)),
    ]
    crop = torchio.CropOrPad((slices, rows, columns), padding_mode=0)
    cropped = [crop(part) for part in parts]
    values, inside = cropped[0].numpy()[0], cropped[1].numpy()[0] > 0
    rescaled = _rescaled(case, values, inside, settings.percentiles)
    cropped[0] = torchio.ScalarImage(tensor=rescaled[np.newaxis], affine=cropped[0].affine)
    rows, columns, slices = settings.size
    resize = torchio.Resize(
        (slices, rows, columns), image_interpolation="bspline", label_interpolation="nearest"
    )
    return _reduced(*(resize(part) for part in cropped))


def _reduced(image: Any, mask: Any, segmentation: Any) -> Reduced:
    """From torchio's images."""
    inside = mask.numpy()[0] > 0
    spacing = tuple(float(step) for step in image.spacing)
    return Reduced(
        # Splines overshoot at edges, so clip once more.
        image=(np.clip(image.numpy()[0], 0, 1) * inside).astype(np.float32),
        mask=inside,
        segmentation=(segmentation.numpy()[0] > 0) & inside,
        voxel_size=(spacing[0], spacing[1], spacing[2]),
    )


def _smoothed(image: UprightVolume, iterations: int) -> NDArray[np.float32]:
    """By curvature flow, which moves contours of equal intensity the faster the more they bend.

    Source: Sethian, "Level set methods and fast marching methods" (1996), as in ITK.
    """
    if iterations == 0:
        return image.values
    import SimpleITK

    volume = SimpleITK.GetImageFromArray(np.ascontiguousarray(image.values, dtype=np.float32))
    volume.SetSpacing(image.voxel_size[::-1])
    flown = SimpleITK.CurvatureFlow(volume, FLOW_TIME_STEP, iterations)
    return np.asarray(SimpleITK.GetArrayFromImage(flown), dtype=np.float32)


def _part(values: NDArray[Any], voxel_size: Millimetres) -> dict[str, Any]:
    """What torchio makes an image of, whose axes stay slices, rows and columns."""
    return {
        "tensor": np.ascontiguousarray(values, dtype=np.float32)[np.newaxis],
        "affine": np.diag([*voxel_size, 1.0]),
    }


def _rescaled(
    case: Case,
    image: NDArray[np.float32],
    inside: NDArray[np.bool_],
    percentiles: tuple[float, float],
) -> NDArray[np.float32]:
    if not inside.any():
        raise DataError(
            f"{case.mask or case.image}: no brain is left inside the crop, expected it around the "
            "volume's middle; enlarge data.crop, or move the volume"
        )
    low, high = np.percentile(image[inside], percentiles)
    if not low < high:
        raise DataError(
            f"{case.image}: nearly all of the brain has the value {low:g}, expected an image with "
            "contrast; export it again, or widen data.percentiles"
        )
    scaled = np.clip((image - low) / (high - low), 0, 1) * inside
    return np.asarray(scaled, dtype=np.float32)


def _check_image(case: Case, values: NDArray[np.float32]) -> None:
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise DataError(
            f"{case.image} has NaN or infinite values; replace them, or delete the row of "
            f"{case.subject} from the csv files"
        )
