"""Simulated low-dose measurements: line integrals of a fine image, and photon noise.

The image that is projected is finer than the one to be reconstructed. Were both the same, the
simulation would invert exactly what the reconstruction models, and results would look better than
any scanner's (the "inverse crime": Kaipio & Somersalo, "Statistical and Computational Inverse
Problems", 2005, §1.2).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numpy.typing import NDArray

from data.geometry import ParallelGeometry
from data.physics.photons import PHOTONS

MU_MAX = 81.35858  # 1/m, the attenuation of 3071 HU, by which LoDoPaB-CT normalises
FEWEST_PHOTONS = 0.1  # stands for none, whose logarithm is infinite

OVERSAMPLING = 3  # 1086 fine pixels for 362; LoDoPaB-CT itself uses 1000
LANES = 8  # images projected together, the width of a vector register of float32

Images = NDArray[np.float32]


def simulation_size(image_size: int) -> int:
    """Rows and columns of the grid to simulate on, for images of `image_size` to reconstruct."""
    return OVERSAMPLING * image_size


def simulate(
    fine: Images,
    geometry: ParallelGeometry,
    generators: Sequence[np.random.Generator],
    *,
    photons: float = PHOTONS,
) -> tuple[Images, Images]:
    """Measure images, and give the reconstruction's ideal result with the measurement.

    Args:
        fine: (B, M, M) in [0, 1], M a multiple of the geometry's image_size.
        generators: one of random numbers for each image.
        photons: how many a detector cell counts without an object.

    Returns:
        Observations (B, angles, detectors) and images (B, N, N), whose pixels are the mean of
        the fine ones they cover.
    """
    projections = project(fine, geometry)
    noisy = [
        measure(p, rng, photons=photons) for p, rng in zip(projections, generators, strict=True)
    ]
    return np.stack(noisy), block_mean(fine, geometry.image_size)


def block_mean(fine: Images, size: int) -> Images:
    """Average (B, M, M) to (B, size, size); M must be a multiple of `size`."""
    factor = fine.shape[1] // size
    blocks = fine.reshape(len(fine), size, factor, size, factor)
    return np.clip(blocks.mean(axis=(2, 4), dtype=np.float64), 0, 1).astype(np.float32)


def measure(
    projections: Images, generator: np.random.Generator, *, photons: float = PHOTONS
) -> Images:
    """Count photons behind the object, and take the logarithm, as LoDoPaB-CT does.

    Args:
        projections: line integrals of normalised attenuation in metres, any shape.

    Returns:
        −ln(max(N, 0.1)/photons)/μ_max in metres, N ~ Poisson(photons·exp(−μ_max·projections)).
        Source: Leuschner et al. 2021, "Data simulation".
    """
    expected = photons * np.exp(-MU_MAX * projections.astype(np.float64))
    counted = np.maximum(generator.poisson(expected), FEWEST_PHOTONS)
    return (-np.log(counted / photons) / MU_MAX).astype(np.float32)


def project(images: Images, geometry: ParallelGeometry) -> Images:
    """Line integrals of square images (B, M, M), in the geometry's metres: (B, angles, detectors).

    One ray for each angle and detector cell, through the cell's middle. Along it the image is
    interpolated linearly where the ray crosses a row (or a column, whichever it crosses more
    steeply), so that rays of every angle are sampled about once a pixel. M is the images' own;
    the geometry gives the extent.
    Source: Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE
    Trans. Med. Imaging 1 (1982).
    """
    groups = [
        _project_lanes(images[start : start + LANES], geometry)
        for start in range(0, len(images), LANES)
    ]
    return np.concatenate(groups)


def _project_lanes(images: Images, geometry: ParallelGeometry) -> Images:
    held, size, _ = images.shape
    # A border of zeros on the interpolated axis lets the image fade out over one pixel.
    by_rows = np.zeros((size, size + 2, LANES), dtype=np.float32)
    by_rows[:, 1:-1, :held] = images.transpose(1, 2, 0)
    by_columns = np.zeros_like(by_rows)
    by_columns[:, 1:-1, :held] = images.transpose(2, 1, 0)
    first_ray = geometry.cell_width / 2 - geometry.detector_half_width
    pixel = 2 * geometry.image_half_width / size
    out = np.zeros((geometry.angles, geometry.detectors, LANES), dtype=np.float32)

    def march(part: slice) -> None:
        _march(
            by_rows,
            by_columns,
            geometry.angle_values[part],
            (first_ray, geometry.cell_width),
            pixel,
            out[part],
        )

    threads = _usable_cores()
    share = math.ceil(geometry.angles / threads)
    parts = [slice(start, start + share) for start in range(0, geometry.angles, share)]
    # Our own threads, which end here: numba's pool would outlive this call and not survive a fork.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(march, parts))
    return np.ascontiguousarray(out.transpose(2, 0, 1)[:held])


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@numba.njit(nogil=True, cache=True, fastmath=True)
def _march(
    by_rows: Images,
    by_columns: Images,
    angles: NDArray[np.float64],
    rays: tuple[float, float],
    pixel: float,
    out: Images,
) -> None:
    """Add the integrals along all rays of the given angles to `out` (angles, detectors, LANES).

    The ray x·cos φ + y·sin φ = s meets row i, at x_i, in y = (s − x_i·cos φ)/sin φ.
    """
    first_ray, ray_step = rays
    size, padded, _ = by_rows.shape
    middle = (size - 1) / 2
    for a in range(angles.size):
        cosine, sine = math.cos(angles[a]), math.sin(angles[a])
        image, along, across = by_rows, cosine, sine
        if abs(cosine) > abs(sine):
            image, along, across = by_columns, sine, cosine
        # In pixels of the padded axis: where the first ray meets a row, and the step to the next.
        step = ray_step / (pixel * across)
        slope = along / across
        first = first_ray / (pixel * across) + middle * slope + middle + 1
        weight = np.float32(pixel / abs(across))
        for row in range(size):
            start = first - row * slope
            for ray in range(out.shape[1]):
                position = start + ray * step
                if 0 <= position < padded - 1:
                    left = int(position)
                    right_share = np.float32(position - left) * weight
                    left_share = weight - right_share
                    for lane in range(LANES):
                        out[a, ray, lane] += (
                            left_share * image[row, left, lane]
                            + right_share * image[row, left + 1, lane]
                        )
