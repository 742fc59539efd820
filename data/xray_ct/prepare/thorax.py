"""Random chests in Hounsfield units: what a CT scan of a thorax looks like, roughly.

A chest is drawn from ellipsoids: fat and muscle around lungs that differ in size, heart, aorta
and liver, a spine of vertebrae with its canal, a sternum, ribs as bands of a shell, and nodules in
some lungs. Patients differ in build, position, tilt, asymmetry and what is ill about them, so
that two views of a patient say much about the volume that no mean of patients does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.xray_ct.prepare.thorax_bones import draw_ribs, draw_spine, draw_sternum
from data.xray_ct.prepare.thorax_canvas import Canvas, Field

TRUNK = 420.0  # mm, half the height of the ellipsoid that the trunk is the middle of
EDGE = 360.0  # mm of the cube that a chest of mean build fills
FAT, MUSCLE, BLOOD, LIVER, LUNG = -95.0, 45.0, 50.0, 60.0, -830.0
AIR = -1024.0
FINEST = 48  # voxels that small volumes are drawn at least with, before means are taken

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """A volume (D, H, W), from head to feet, front to back, the patient's right to the left."""

    hu: Field
    voxel_size: tuple[float, float, float]  # mm


def draw_thorax(seed: int, patient: int, size: int) -> Thorax:
    """The same arguments give the same chest, up to the sampling at every size."""
    rng = np.random.default_rng([seed, patient])
    finer = max(1, math.ceil(FINEST / size))
    canvas = Canvas(size * finer, EDGE, _pose(rng), AIR)
    build = _Build.drawn(rng)
    _draw_body(canvas, build)
    _draw_organs(canvas, build, rng)
    draw_spine(canvas, rng, build.back)
    draw_sternum(canvas, build.front)
    draw_ribs(canvas, rng, build.cage)
    _draw_nodules(canvas, build, rng)
    hu = canvas.values + _texture(rng, size * finer)
    hu = hu.reshape(size, finer, size, finer, size, finer).mean(axis=(1, 3, 5))
    voxel = EDGE / size
    return Thorax(hu=np.clip(hu, AIR, 3071).astype(np.float32), voxel_size=(voxel,) * 3)


@dataclass(frozen=True, kw_only=True)
class _Build:
    """A patient's measures in mm, from the middle of the chest: down, back, left."""

    outer: tuple[float, float, float]  # half axes of the trunk
    fat: float  # thickness under the skin
    lungs: tuple[NDArray[np.float64], NDArray[np.float64]]  # half axes, right and left
    shift: float  # of what lies between the lungs, to the left
    heart: float  # scale

    @classmethod
    def drawn(cls, rng: Rng) -> _Build:
        width, depth = rng.uniform(135, 165), rng.uniform(88, 118)
        fat = rng.uniform(4, 20)
        lung = np.array([rng.uniform(95, 125), depth - fat - 22, (width - fat) * 0.36])
        return cls(
            outer=(TRUNK, depth, width),
            fat=fat,
            lungs=(lung * rng.uniform(0.85, 1.05, 3), lung * rng.uniform(0.8, 1.0, 3)),
            shift=rng.normal(0, 8),
            heart=rng.uniform(0.8, 1.25),
        )

    @property
    def inner(self) -> tuple[float, float, float]:
        """Half axes of what the fat surrounds."""
        return self.outer[0], self.outer[1] - self.fat, self.outer[2] - self.fat

    @property
    def cage(self) -> tuple[float, float, float]:
        """Half axes of the shell that the ribs are of."""
        return 175.0, self.inner[1] - 9, self.inner[2] - 9

    @property
    def back(self) -> float:
        """How far behind the middle the spine is."""
        return self.inner[1] - 40

    @property
    def front(self) -> float:
        """How far before the middle, as a negative number, the sternum is."""
        return -(self.inner[1] - 12)


def _pose(rng: Rng) -> NDArray[np.float64]:
    """(3, 4): from mm in the cube to mm in the patient, who lies a little askew and off-centre."""
    angles = np.radians(rng.normal(0, 3.0, 3).clip(-8, 8))
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[one, one] = step[other, other] = math.cos(angle)
        step[one, other], step[other, one] = -math.sin(angle), math.sin(angle)
        turn = turn @ step
    scale = rng.uniform(0.88, 1.06)
    shift = rng.normal(0, [14.0, 6.0, 6.0])
    return np.hstack([turn / scale, -shift[:, None]])


def _draw_body(canvas: Canvas, build: _Build) -> None:
    # A trunk, and broader shoulders above.
    canvas.ellipsoid((0, 0, 0), build.outer, FAT)
    canvas.ellipsoid((-150, 6, 0), (70, build.outer[1] * 0.8, build.outer[2] * 1.05), FAT)
    canvas.ellipsoid((0, 0, 0), build.inner, MUSCLE)
    canvas.ellipsoid((-150, 6, 0), (60, build.inner[1] * 0.75, build.inner[2] * 0.98), MUSCLE)


def _draw_organs(canvas: Canvas, build: _Build, rng: Rng) -> None:
    right, left = build.lungs
    side = build.inner[2] * 0.48
    dome = rng.uniform(-14, 14)
    canvas.ellipsoid((-18 + dome, 0, build.shift - side), right, rng.normal(LUNG, 25))
    canvas.ellipsoid((-14, 0, build.shift + side), left, rng.normal(LUNG, 25))
    # The liver's dome lifts the right lung's base, the stomach's the left one's.
    canvas.ellipsoid((118, -8, -62), (78, build.inner[1] * 0.82, 82), rng.normal(LIVER, 8))
    canvas.ellipsoid((128, -14, 66), (70, build.inner[1] * 0.7, 62), MUSCLE)
    heart = np.array([58.0, 46.0, 52.0]) * build.heart
    lean = math.radians(rng.uniform(15, 50))
    canvas.ellipsoid((34, -26, 26 + build.shift), heart, BLOOD, turn=lean)
    arch = (-46, 8, 8 + build.shift)
    canvas.ellipsoid(arch, (30, 34, 16 * rng.uniform(0.9, 1.4)), BLOOD)
    canvas.ellipsoid((60, build.back - 32, 18), (170, 13, rng.uniform(11, 16)), BLOOD)
    canvas.ellipsoid((-120, 4, build.shift), (80, 8, 9), AIR)  # windpipe


def _draw_nodules(canvas: Canvas, build: _Build, rng: Rng) -> None:
    for _ in range(int(rng.integers(0, 4))):
        lung = int(rng.integers(2))
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        place = direction * rng.uniform(0.2, 0.8) * build.lungs[lung]
        middle = build.inner[2] * (0.48 if lung else -0.48) + build.shift
        radius = rng.uniform(5, 18)
        radii = radius * rng.uniform(0.8, 1.2, 3)
        canvas.ellipsoid((place[0] - 16, place[1], place[2] + middle), radii, rng.normal(40, 20))


def _texture(rng: Rng, size: int) -> Field:
    """A scanner's noise."""
    return rng.standard_normal((size, size, size), dtype=np.float32) * np.float32(12)
