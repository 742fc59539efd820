"""A cube to paint ellipsoids on, in millimetres of a patient who may lie askew in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Lengths = Sequence[float] | NDArray[np.float64]


class Canvas:
    """Values on a grid, over which later shapes are painted as over earlier ones.

    Borders are as soft as a voxel is wide, so that a shape looks the same at every size.
    """

    def __init__(
        self, size: int, edge: float, pose: NDArray[np.float64], background: float
    ) -> None:
        """An empty cube.

        Args:
            size: voxels of its edge.
            edge: mm of its edge.
            pose: (3, 4), from mm in the cube, from its middle, to mm in the patient.
            background: its value.
        """
        self.values = np.full((size, size, size), background, dtype=np.float32)
        self.voxel = edge / size
        axis = ((np.arange(size) + 0.5) / size - 0.5) * edge
        # (3, D, H, W) would take long at full size: the three parts are added when they are used.
        self._parts = [
            [(pose[row, column] * axis).astype(np.float32) for column in range(3)]
            for row in range(3)
        ]
        self._offsets = pose[:, 3]
        self._pose = pose
        self._axis = axis

    def ellipsoid(
        self, centre: Lengths, radii: Lengths, value: float, *, turn: float = 0.0
    ) -> None:
        """Paint an ellipsoid.

        Args:
            centre: mm in the patient: down, back, left.
            radii: its half axes, along the same.
            value: what it is filled with.
            turn: radians by which it leans from down towards the left.
        """
        half = np.asarray(radii, dtype=np.float64)

        def depth(down: Field, back: Field, left: Field) -> Field:
            down, back, left = down - centre[0], back - centre[1], left - centre[2]
            if turn:
                cos, sin = math.cos(turn), math.sin(turn)
                down, left = cos * down + sin * left, cos * left - sin * down
            radius = np.sqrt((down / half[0]) ** 2 + (back / half[1]) ** 2 + (left / half[2]) ** 2)
            return np.asarray((1 - radius) * half.min(), dtype=np.float32)

        reach = float(half.max()) if turn else half
        self.paint(centre, reach, depth, value)

    def paint(
        self,
        centre: Lengths,
        reach: float | NDArray[np.float64],
        depth: Callable[[Field, Field, Field], Field],
        value: float,
    ) -> None:
        """Fill what is inside a shape.

        Args:
            centre: mm in the patient.
            reach: nothing is painted farther from the centre along each axis of the patient.
            depth: of places (down, back, left) in the patient: mm below the shape's surface.
            value: what it is filled with.
        """
        box = self._box(np.asarray(centre, dtype=np.float64), np.broadcast_to(reach, 3))
        if box is None:
            return
        inside = np.clip(depth(*self._places(box)) / self.voxel + 0.5, 0, 1)
        part = self.values[box]
        part += inside * (np.float32(value) - part)

    def _box(
        self, centre: NDArray[np.float64], reach: NDArray[np.float64]
    ) -> tuple[slice, slice, slice] | None:
        """The part of the cube that holds what is within reach; None if there is none."""
        back = np.linalg.inv(self._pose[:, :3])
        middle = back @ (centre - self._offsets)
        spread = np.abs(back) @ (reach + 2 * self.voxel)
        slices = []
        for place, length in zip(middle, spread, strict=True):
            there = np.flatnonzero(np.abs(self._axis - place) <= length)
            if not len(there):
                return None
            slices.append(slice(int(there[0]), int(there[-1]) + 1))
        return slices[0], slices[1], slices[2]

    def _places(self, box: tuple[slice, slice, slice]) -> tuple[Field, Field, Field]:
        down, back, left = (
            parts[0][box[0], None, None]
            + parts[1][None, box[1], None]
            + parts[2][None, None, box[2]]
            + np.float32(offset)
            for parts, offset in zip(self._parts, self._offsets, strict=True)
        )
        return down, back, left
