"""X-ray images of a CT volume: line integrals of its attenuation, in parallel or cone beams.

A ray is summed over the planes that cross the view's main direction, each sampled linearly where
the ray meets it, times the length of the ray between two planes: Joseph, "An improved algorithm
for reprojecting rays through pixel images", IEEE TMI 1 (1982), in three dimensions. The planes a
cone beam meets later are sampled on a wider grid; as rows and columns widen alike, a plane takes
two matrix products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.scans.volume import Millimetres

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ConeBeam:
    """A point source and a flat detector at right angles to the central ray; all in mm."""

    source_isocentre: float  # from the source to the volume's middle
    source_detector: float
    detector_width: float | None = None  # None: shows the volume's longest side at its middle

    @property
    def magnification(self) -> float:
        """Of what lies at the volume's middle."""
        return self.source_detector / self.source_isocentre


def project(
    volume: Array,
    size: int,
    voxel_size: Millimetres,
    *,
    axis: int,
    beam: ConeBeam | None = None,
    width: float | None = None,
) -> Array:
    """Line integrals through a volume, which is 0 outside.

    Args:
        volume: (D, H, W), per mm if the result is to have no unit.
        size: rows and columns of the image; each pixel is the mean over a square of rays that are
            no farther apart than voxels are.
        voxel_size: mm between slices, rows and columns.
        axis: along which rays run: 1 for the front view, whose image is (D, W), 2 for the lateral
            one, (D, H). A cone's source is on the side where the axis begins.
        beam: None for parallel rays.
        width: mm that the image shows at the volume's middle; the volume's longest side if not
            given. A cone beam's own detector width goes before it.

    Returns:
        (size, size) float32.

    Raises:
        ValueError: the source is inside the volume.
    """
    planes = np.moveaxis(volume, axis, 0)
    across = tuple(voxel_size[one] for one in range(3) if one != axis)
    step = voxel_size[axis]
    shown = width or max(n * mm for n, mm in zip(volume.shape, voxel_size, strict=True))
    if beam is not None and beam.detector_width is not None:
        shown = beam.detector_width / beam.magnification
    pixels = _rays(size, shown, min(across))

    def seen(plane: Array, wider: float) -> Array:
        rows, columns = (
            _weights(pixels * wider, length, mm)
            for length, mm in zip(plane.shape, across, strict=True)
        )
        return np.asarray(rows @ plane @ columns.T, dtype=np.float32)

    if beam is None:
        return np.asarray(seen(planes.sum(axis=0), 1.0) * step, dtype=np.float32)
    distance = beam.source_isocentre
    depths = (np.arange(len(planes)) - (len(planes) - 1) / 2) * step
    if distance <= len(planes) * step / 2:
        raise ValueError(
            f"the source is {distance:g} mm from the middle, inside a volume "
            f"{len(planes) * step:g} mm deep"
        )
    total = np.zeros((size, size), dtype=np.float32)
    for plane, depth in zip(planes, depths, strict=True):
        total += seen(plane, float((distance + depth) / distance))
    centres = pixels.mean(axis=1)
    slant = np.sqrt(1 + (centres[:, None] ** 2 + centres[None, :] ** 2) / distance**2)
    return np.asarray(total * slant * step, dtype=np.float32)


def _rays(size: int, shown: float, finest: float) -> NDArray[np.float64]:
    """(size, rays a pixel): mm from the middle at which the rays of each pixel cross it."""
    each = max(1, math.ceil(shown / size / finest - 1e-6))
    places = (np.arange(size * each) + 0.5) / (size * each) - 0.5
    return (places * shown).reshape(size, each)


def _weights(pixels: NDArray[np.float64], length: int, mm: float) -> Array:
    """(size, length): what each pixel's rays take of the voxels of an axis, linearly."""
    places = pixels[..., np.newaxis] / mm + (length - 1) / 2
    shares = np.maximum(0, 1 - np.abs(places - np.arange(length)))
    return shares.mean(axis=1).astype(np.float32)
