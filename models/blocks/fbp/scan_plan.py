"""How a scan geometry is laid out for the backprojector: base angles, symmetry and positions.

Two symmetries of a square image centred on the rotation axis save work (both are exact):

* Point reflection: the detector position of −p is minus that of p. Every scan has it, so half of
  the image's rows are visited, and each visit reads a projection forwards and backwards.
* Quarter turns and diagonal mirrors: the angles (k + ½)·π/n with n divisible by 4 are the images
  of the quarter in (0, π/4) under φ → π/2 − φ, φ + π/2 and π − φ, which permute pixels.

So n angles of B images become a table of n/4 angles with 8·B columns, or n angles with 2·B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.geometry import ParallelGeometry
from models.blocks.fbp.constant import constant
from protocol.errors import SettingsError

ANGLES_AT_ONCE = 8  # the kernels take so many; the plan is padded to a multiple
PAD_CELLS = 3  # empty cells around a projection: one before it, two after


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanPlan:
    """Where each pixel falls on the detector, for the base angles.

    The position of pixel (i, j) at base angle a, in cells of the padded table, is
    `origin[a] + i·row_step[a] + j·column_step[a]`; cell 0 of the detector is cell 1 of the table.
    """

    geometry: ParallelGeometry
    groups: int  # 4 with the quarter-turn symmetry, 1 without
    base_angles: int
    origin: NDArray[np.float64]  # (padded angles,)
    row_step: NDArray[np.float64]  # (padded angles,)
    column_step: NDArray[np.float64]  # (padded angles,)

    @property
    def half_rows(self) -> int:
        """Image rows that are visited; the others are their point reflection."""
        return (self.geometry.image_size + 1) // 2

    @property
    def table_cells(self) -> int:
        """Cells of a padded projection."""
        return self.geometry.detectors + PAD_CELLS

    @property
    def reach(self) -> int:
        """The most pixels of one line, along the direction of larger steps, beside a cell."""
        steps = np.maximum(np.abs(self.row_step), np.abs(self.column_step))
        return math.floor(2 / steps.min()) + 1

    def table_columns(self, batch: int, multiple: int) -> int:
        """Columns of the table of `batch` images, padded to a multiple."""
        return math.ceil(2 * self.groups * batch / multiple) * multiple


def has_quarter_symmetry(geometry: ParallelGeometry) -> bool:
    """Whether the angles are (k + ½)·π/n with n divisible by 4."""
    step = math.pi / geometry.angles
    return (
        geometry.angles % 4 == 0
        and math.isclose(geometry.angle_step, step, rel_tol=1e-12)
        and math.isclose(geometry.first_angle, step / 2, rel_tol=1e-12)
    )


@lru_cache(maxsize=16)
def scan_plan(geometry: ParallelGeometry, *, use_symmetry: bool = True) -> ScanPlan:
    """The plan of a geometry; built once a process, in well under a millisecond.

    Raises:
        SettingsError: the geometry has no angle, detector cell or pixel, or an empty extent.
    """
    _check(geometry)
    symmetric = use_symmetry and has_quarter_symmetry(geometry)
    base = geometry.angles // 4 if symmetric else geometry.angles
    padding = -base % ANGLES_AT_ONCE
    angles = np.pad(geometry.angle_values[:base], (0, padding), mode="edge")
    pixels_per_cell = geometry.pixel_width / geometry.cell_width
    row_step = np.cos(angles) * pixels_per_cell
    column_step = np.sin(angles) * pixels_per_cell
    axis = geometry.detector_half_width / geometry.cell_width + 0.5  # the rotation axis, in cells
    corner = (geometry.image_size - 1) / 2
    return ScanPlan(
        geometry=geometry,
        groups=4 if symmetric else 1,
        base_angles=base,
        origin=axis - corner * (row_step + column_step),
        row_step=row_step,
        column_step=column_step,
    )


def device_steps(plan: ScanPlan, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A plan's origins, row steps and column steps on a device, kept there for the process.

    While an export traces they are made anew: what it sees is of no use to anybody else.
    """
    make = _kept_steps.__wrapped__ if torch.compiler.is_exporting() else _kept_steps
    return make(plan, device)


@lru_cache(maxsize=16)
def _kept_steps(plan: ScanPlan, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    origin, row_step, column_step = (
        constant(values, torch.float64, device)
        for values in (plan.origin, plan.row_step, plan.column_step)
    )
    return origin, row_step, column_step


def _check(geometry: ParallelGeometry) -> None:
    counts = (geometry.angles, geometry.detectors, geometry.image_size)
    widths = (geometry.image_half_width, geometry.detector_half_width)
    if min(counts) < 1 or not all(math.isfinite(width) and width > 0 for width in widths):
        raise SettingsError(
            "geometry: angles, detectors, image_size and both half widths must be positive, "
            f"found {geometry}"
        )
