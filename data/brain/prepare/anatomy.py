"""Random brains in T1 and T2 contrast: what a skull-stripped head looks like to MRI, roughly.

A brain is a warped ellipsoid of white matter under a folded ribbon of grey matter with fluid in
its furrows and in the fissure between its halves, with ventricles and deep grey nuclei inside.
Subjects differ in build, folding, size of the ventricles, contrast, field bias and noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.brain.layout import Mode

Rng = np.random.Generator
Field = NDArray[np.float32]  # (Z, H, W)
Lengths = NDArray[np.floating[Any]]  # (Z, H, W), millimetres
Shape = tuple[int, int, int]  # slices, rows, columns

# Millimetres that a volume covers: the middle of a brain, as the published crop takes it.
EXTENT = (100.0, 192.0, 192.0)
# Half axes of a mean brain in millimetres: up, to the front, to the side.
RADII = (68.0, 86.0, 70.0)

# Intensities of fluid, grey and white matter.
TISSUES: dict[Mode, tuple[float, float, float]] = {"t1": (0.12, 0.52, 0.88), "t2": (1.0, 0.6, 0.4)}


@dataclass(frozen=True, kw_only=True)
class Brain:
    """A subject's images in [0, 1], zero outside the mask; all (Z, H, W)."""

    images: dict[Mode, Field]
    mask: NDArray[np.bool_]
    voxel_size: tuple[float, float, float]


def draw_brain(seed: int, subject: int, shape: Shape) -> Brain:
    """The same arguments give the same brain, up to the sampling at every shape."""
    rng = np.random.default_rng([seed, subject])
    z, y, x = _warped_grid(rng, shape)
    radii = np.array(RADII) * rng.normal(1, 0.04, 3).clip(0.9, 1.1)
    # Narrower in front than behind, flatter below than above.
    side = radii[2] * (1 - 0.12 * np.tanh(y / 60))
    radius = np.sqrt((z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / side) ** 2)
    depth = (1 - radius) * RADII[2]  # millimetres below the surface, nearly
    fluid, grey = _fluid_and_grey(rng, shape, depth, (z, y, x))
    mask = depth > 0
    # The outermost voxels are partly membranes and bone, which are dark.
    rim = np.sqrt(_inside(depth - 0.3))
    images = {mode: _image(rng, mode, fluid, grey, rim) * mask for mode in TISSUES}
    sizes = tuple(length / count for length, count in zip(EXTENT, shape, strict=True))
    return Brain(images=images, mask=mask, voxel_size=(sizes[0], sizes[1], sizes[2]))


def smooth_noise(rng: Rng, shape: Shape, millimetres: float) -> Field:
    """Noise of mean 0 and deviation 1, whose grains are so wide, wherever it is sampled."""
    knots = [max(1, round(length / millimetres)) + 3 for length in EXTENT]
    field = rng.standard_normal(knots).astype(np.float32)
    for count, grains in zip(shape, knots, strict=True):
        # Each pass takes the first axis and puts it last, so three restore their order.
        field = np.tensordot(field, _spline_weights(count, grains), axes=(0, 1))
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def _spline_weights(count: int, knots: int) -> Field:
    """A uniform cubic B-spline's weights of its knots at evenly spread places: (count, knots)."""
    places = (np.arange(count) + 0.5) / count * (knots - 3) + 1
    distance = np.abs(places[:, None] - np.arange(knots))
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def _warped_grid(rng: Rng, shape: Shape) -> tuple[Field, Field, Field]:
    """Coordinates in millimetres to above, to the front and to the right, bent a little."""
    axes = [
        ((np.arange(count) + 0.5) / count - 0.5) * length
        for count, length in zip(shape, EXTENT, strict=True)
    ]
    z, y, x = np.meshgrid(axes[0], -axes[1], -axes[2], indexing="ij")
    turn = rng.normal(0, 0.05)
    y, x = np.cos(turn) * y - np.sin(turn) * x, np.sin(turn) * y + np.cos(turn) * x
    bent = [axis + 2.2 * smooth_noise(rng, shape, 50) for axis in (z, y, x)]
    return bent[0], bent[1], bent[2]


def _fluid_and_grey(
    rng: Rng, shape: Shape, depth: Field, at: tuple[Field, Field, Field]
) -> tuple[Field, Field]:
    """The shares of fluid and of grey matter in every voxel."""
    z, y, x = at
    # Furrows follow the zero lines of a noise: their distance is |noise| over its slope.
    folds = np.abs(smooth_noise(rng, shape, 8)) * 4
    furrow_depth = rng.uniform(11, 16)
    furrow = np.maximum(_inside(1.6 * (1 - depth / furrow_depth) - folds), _inside(1.2 - depth))
    ribbon = np.maximum(_inside(4.2 - depth), _inside(3.6 - folds) * _inside(furrow_depth - depth))
    fissure = _inside(1.2 + rng.uniform(0, 0.6) - np.abs(x)) * _inside(20 - depth)
    fluid = np.maximum.reduce([furrow, fissure, _ventricles(rng, z, y, x)])
    grey = np.maximum.reduce([ribbon, _inside(3.8 - np.abs(x)) * _inside(22 - depth)])
    return fluid, np.maximum(grey, _nuclei(rng, z, y, x)) * (1 - fluid)


def _ventricles(rng: Rng, z: Field, y: Field, x: Field) -> Field:
    width = rng.uniform(3.5, 8.0)
    side, front = np.abs(x), np.abs(y - 2)
    horns = _ellipsoid(z - 8 + 0.004 * front**2, y, side - 9 - 0.006 * front**2, (9, 38, width))
    third = _ellipsoid(z + 6, y + 4, x, (11, 14, rng.uniform(1.5, 3)))
    return np.maximum(horns, third)


def _nuclei(rng: Rng, z: Field, y: Field, x: Field) -> Field:
    side, scale = np.abs(x), rng.uniform(0.9, 1.1)
    thalamus = _ellipsoid(z + 3, y + 10, side - 11, (10 * scale, 14 * scale, 8 * scale))
    putamen = _ellipsoid(z + 2, y - 8, side - 26, (12 * scale, 18 * scale, 6 * scale))
    caudate = _ellipsoid(z - 6, y - 20, side - 15, (9 * scale, 9 * scale, 5 * scale))
    return 0.8 * np.maximum.reduce([thalamus, putamen, caudate])


def _ellipsoid(z: Lengths, y: Lengths, x: Lengths, radii: tuple[float, float, float]) -> Field:
    radius = np.sqrt((z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2)
    return _inside((1 - radius) * min(radii))


def _inside(millimetres: Lengths) -> Field:
    """1 well inside, 0 well outside, half on the border."""
    return (1 / (1 + np.exp(np.clip(-2.5 * millimetres, -30, 30)))).astype(np.float32)


def _image(rng: Rng, mode: Mode, fluid: Field, grey: Field, rim: Field) -> Field:
    levels = np.array(TISSUES[mode]) * rng.normal(1, 0.04, 3)
    shares = np.stack([fluid, grey, 1 - fluid - grey])
    image = np.tensordot(levels, shares, axes=1).astype(np.float32)
    image = image + 0.02 * smooth_noise(rng, fluid.shape, 9)  # tissue is not uniform
    image *= rim * (1 + 0.06 * smooth_noise(rng, fluid.shape, 90))  # nor is the coil's field
    # Magnitude images have Rician noise.
    real, imaginary = rng.normal(0, 0.02, (2, *fluid.shape)).astype(np.float32)
    image = np.hypot(image + real, imaginary)
    return np.clip(image / 1.2, 0, 1).astype(np.float32)
