"""The parallel-beam scan geometry that readers, simulators and operators share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LODOPAB_IMAGE_HALF_WIDTH = 0.13  # metres
LODOPAB_DETECTOR_HALF_WIDTH = math.sqrt(2.0) * LODOPAB_IMAGE_HALF_WIDTH  # the image's half diagonal


@dataclass(frozen=True, kw_only=True)
class ParallelGeometry:
    """A 2-D parallel-beam scan of a square image centred on the rotation axis.

    Projection angle k is `first_angle + k * angle_step` (radians). At angle φ the detector
    coordinate of the point (x, y) is x·cos φ + y·sin φ, with x growing along an image's rows
    index *downwards* as in LoDoPaB-CT (ODL: axis 0 of the array is x, axis 1 is y).
    Detector cell j is centred at (j + ½)·2·detector_half_width/detectors − detector_half_width.
    Pixel (i, j) is centred at ((i + ½), (j + ½))·2·image_half_width/image_size − image_half_width.
    Source: Leuschner et al., "LoDoPaB-CT, a benchmark dataset", Sci. Data 8 (2021).
    """

    angles: int
    detectors: int
    image_size: int
    first_angle: float  # radians
    angle_step: float  # radians
    image_half_width: float = LODOPAB_IMAGE_HALF_WIDTH  # metres
    detector_half_width: float = LODOPAB_DETECTOR_HALF_WIDTH  # metres

    @classmethod
    def lodopab(
        cls, *, angles: int = 1000, detectors: int | None = None, image_size: int = 362
    ) -> ParallelGeometry:
        """LoDoPaB-CT's geometry, at its published or another sampling: angles (k + ½)·π/n.

        Without `detectors` the cells sample an image's diagonal as finely as its pixels: 513 for
        362, as published, and 183 for 128.
        """
        step = math.pi / angles
        return cls(
            angles=angles,
            detectors=detectors or 2 * math.ceil(image_size / math.sqrt(2)) + 1,
            image_size=image_size,
            first_angle=step / 2,
            angle_step=step,
        )

    @property
    def angle_values(self) -> NDArray[np.float64]:
        """The projection angles in radians, shape (angles,)."""
        return self.first_angle + self.angle_step * np.arange(self.angles, dtype=np.float64)

    @property
    def pixel_width(self) -> float:
        """Side of a pixel in metres."""
        return 2 * self.image_half_width / self.image_size

    @property
    def cell_width(self) -> float:
        """Width of a detector cell in metres."""
        return 2 * self.detector_half_width / self.detectors
