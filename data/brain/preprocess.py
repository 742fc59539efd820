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
from data.scans.volume import Millimetres
from protocol.errors import DataError

FLOW_TIME_STEP = 0.125  # as published


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """A preprocessed volume; all (Z, H, W)."""

    image: NDArray[np.float32]  # in [0, 1], zero outside the mask
    mask: NDArray[np.bool_]
    segmentation: NDArray[np.bool_]
    voxel_size: Millimetres  # between slices, rows and columns
    to_image: NDArray[np.float64]  # (4, 4), from its indices to those of the upright image
    window: tuple[float, float]  # the image's values that 0 and 1 stand for


def preprocess(case: Case, settings: BrainSettings) -> Reduced:
    """Read a case's files and do all steps.

    Raises:
        DataError: a file is missing, damaged or empty, or lies beside the image.
    """
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
    return reduce_upright(case, image.values, image.voxel_size, mask, segmentation, settings)


def reduce_upright(
    case: Case,
    image: NDArray[np.float32],
    voxel_size: Millimetres,
    mask: NDArray[np.bool_],
    segmentation: NDArray[np.bool_],
    settings: BrainSettings,
) -> Reduced:
    """Do all steps with what was read: (Z, H, W), upright.

    Args:
        case: for messages.

    Raises:
        DataError: no brain is in the crop, or it has no contrast.
    """
    import torchio  # takes seconds to import, and is not needed once all volumes are cached

    rows, columns, slices = settings.crop
    smoothed = _smoothed(image, voxel_size, settings.curvature_flow)
    parts = [
        torchio.ScalarImage(**_part(smoothed, voxel_size)),
        torchio.LabelMap(**_part(mask, voxel_size)),
        torchio.LabelMap(**_part(segmentation, voxel_size)),
    ]
    crop = torchio.CropOrPad((slices, rows, columns), padding_mode=0)
    cropped = [crop(part) for part in parts]
    values, inside = cropped[0].numpy()[0], cropped[1].numpy()[0] > 0
    rescaled, window = _rescaled(case, values, inside, settings.percentiles)
    cropped[0] = torchio.ScalarImage(tensor=rescaled[np.newaxis], affine=cropped[0].affine)
    rows, columns, slices = settings.size
    resize = torchio.Resize(
        (slices, rows, columns), image_interpolation="bspline", label_interpolation="nearest"
    )
    reduced = [resize(part) for part in cropped]
    return _reduced(*reduced, voxel_size=voxel_size, window=window)


def _reduced(
    image: Any,
    mask: Any,
    segmentation: Any,
    *,
    voxel_size: Millimetres,
    window: tuple[float, float],
) -> Reduced:
    """From torchio's images."""
    inside = mask.numpy()[0] > 0
    spacing = tuple(float(step) for step in image.spacing)
    return Reduced(
        # Splines overshoot at edges, so clip once more.
        image=(np.clip(image.numpy()[0], 0, 1) * inside).astype(np.float32),
        mask=inside,
        segmentation=(segmentation.numpy()[0] > 0) & inside,
        voxel_size=(spacing[0], spacing[1], spacing[2]),
        to_image=np.diag([*(1 / np.array(voxel_size)), 1.0]) @ image.affine,
        window=window,
    )


def _smoothed(
    image: NDArray[np.float32], voxel_size: Millimetres, iterations: int
) -> NDArray[np.float32]:
    """By curvature flow, which moves contours of equal intensity the faster the more they bend.

    Source: Sethian, "Level set methods and fast marching methods" (1996), as in ITK.
    """
    if iterations == 0:
        return image
    import SimpleITK

    volume = SimpleITK.GetImageFromArray(np.ascontiguousarray(image, dtype=np.float32))
    volume.SetSpacing(voxel_size[::-1])
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
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """The image in [0, 1], and the values that these stand for."""
    if not inside.any():
        raise DataError(
            f"{case.mask or case.image}: no brain is left inside the crop, expected it around the "
            "volume's middle; enlarge data.crop, or move the volume"
        )
    low, high = map(float, np.percentile(image[inside], percentiles))
    if not low < high:
        raise DataError(
            f"{case.image}: nearly all of the brain has the value {low:g}, expected an image with "
            "contrast; export it again, or widen data.percentiles"
        )
    scaled = np.clip((image - low) / (high - low), 0, 1) * inside
    return np.asarray(scaled, dtype=np.float32), (low, high)


def _check_image(case: Case, values: NDArray[np.float32]) -> None:
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise DataError(
            f"{case.image} has NaN or infinite values; replace them, or delete the row of "
            f"{case.subject} from the csv files"
        )
