"""Simplex noise for a batch of images at once: every pixel, octave and lattice corner together."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.diffusion.hashing import hashed, uniforms

OFFSET_STREAM, LATTICE_STREAM = 101, 102

SKEW, UNSKEW = 1 / 3, 1 / 6  # of three dimensions, (√4 − 1)/3 and (1 − 1/√4)/3
REACH = 0.5  # squared: a corner's kernel ends where the tetrahedra around it do, so no jumps
# OpenSimplex, which the published noise is made of, has the same kernel with twice this reach.
OPENSIMPLEX_SCALE = 2.0
# Its 24 gradients: one component long, two short, all signs.
GRADIENTS = [
    [sign * (11.0 if axis == long else 4.0) for axis, sign in enumerate(signs)]
    for long in range(3)
    for signs in itertools.product((-1.0, 1.0), repeat=3)
]
# Odd factors that spread the lattice's three indices over 32 bits, and those of a 32-bit
# finalizer; as signed integers, whose products wrap around.
INDEX_FACTORS = (-1640531535, -2048144777, -1028477379)
FIRST_FACTOR, SECOND_FACTOR = 0x7FEB352D, -0x7B935975


def simplex_noise(
    seeds: Tensor, height: int, width: int, *, octaves: int, persistence: float, frequency: float
) -> Tensor:
    """Sections through three-dimensional simplex noise, summed over octaves.

    The recipe of Wyatt et al. 2022 ("AnoDDPM", CVPR workshops): the first octave has a wavelength
    of `frequency` pixels, each further one half the wavelength and `persistence` times the
    amplitude. It differs in two ways. The noise has unit variance, where the published one's
    depends on its parameters; and each octave of each sample has an offset of its own, so that
    the variance is the same at every pixel, where the published one is always zero at the first.
    The algorithm is Perlin's as Gustavson 2005 ("Simplex noise demystified") gives it, scaled so
    that its kernel, and by that its autocorrelation, is OpenSimplex's.

    Args:
        seeds: (B,) int64; a sample's noise is a function of its own seed alone.
        frequency: the first octave's wavelength in pixels, as its authors call it.

    Returns:
        (B, 1, height, width) float32 on the seeds' device, of mean 0 and variance 1 over seeds.
    """
    points = _points(seeds, height, width, octaves, frequency)
    keys = hashed(seeds, LATTICE_STREAM, octaves).to(torch.int32)[:, :, None, None]
    amplitudes = persistence ** torch.arange(octaves, device=seeds.device, dtype=torch.float32)
    summed = torch.einsum("bohw,o->bhw", _lattice_noise(points, keys), amplitudes)
    variance = _lattice_variance() * sum(persistence ** (2 * octave) for octave in range(octaves))
    return summed[:, None] / math.sqrt(variance)


def _points(seeds: Tensor, height: int, width: int, octaves: int, frequency: float) -> Tensor:
    """Where each octave of each sample is evaluated: (3, B, octaves, height, width)."""
    device = seeds.device
    wavelength = frequency * OPENSIMPLEX_SCALE / 2.0 ** torch.arange(octaves, device=device)
    rows = torch.arange(height, device=device)[:, None] / wavelength[:, None, None]
    columns = torch.arange(width, device=device) / wavelength[:, None, None]
    # Uniform over the lattice's unit cell: after this every pixel is like every other.
    cell = uniforms(seeds, OFFSET_STREAM, octaves * 3).reshape(-1, octaves, 3)
    offset = (cell - UNSKEW * cell.sum(dim=2, keepdim=True)).permute(2, 0, 1)[..., None, None]
    depth = torch.zeros((), device=device)
    return torch.stack(
        [
            along + shift
            for along, shift in zip(
                (
                    columns.expand(octaves, height, width),
                    rows.expand(octaves, height, width),
                    depth.expand(octaves, height, width),
                ),
                offset,
                strict=True,
            )
        ]
    )


def _lattice_noise(points: Tensor, keys: Tensor) -> Tensor:
    """One octave's noise at each point.

    Args:
        points: (3, …).
        keys: int32, broadcasting to (…), that the gradients are a hash of.

    Returns:
        (…), not normalised.
    """
    cell = torch.floor(points + SKEW * points.sum(dim=0))
    inside = points - (cell - UNSKEW * cell.sum(dim=0))
    steps = _corner_steps(inside)
    # (3, 4, …): from each of the tetrahedron's four corners to the point.
    to_point = inside[:, None] - (steps - UNSKEW * steps.sum(dim=0))
    corners = cell[:, None].to(torch.int32) + steps.to(torch.int32)
    kernel = torch.relu(REACH - to_point.square().sum(dim=0)) ** 4
    gradients = _gradients(corners, keys).to(points.device)
    return (kernel * (gradients * to_point).sum(dim=0)).sum(dim=0)


def _corner_steps(inside: Tensor) -> Tensor:
    """The steps from a cell's origin to the corners of the tetrahedron that a point lies in.

    The tetrahedron goes from (0, 0, 0) to (1, 1, 1) along the axes in the order of the point's
    coordinates, the largest first.

    Args:
        inside: (3, …), from the cell's origin to the point.

    Returns:
        (3, 4, …) of zeros and ones.
    """
    x, y, z = inside
    xy, yz, xz = (x >= y).float(), (y >= z).float(), (x >= z).float()
    # How many of the other two coordinates each is larger than: 2, 1 and 0 in some order.
    rank = torch.stack([xy + xz, (1 - xy) + yz, (1 - xz) + (1 - yz)])
    return torch.stack([(rank > 2 - number).to(inside.dtype) for number in range(4)], dim=1)


def _gradients(corners: Tensor, keys: Tensor) -> Tensor:
    """The lattice points' gradients, (3, …), from their indices (3, …) int32."""
    mixed = sum(index * factor for index, factor in zip(corners, INDEX_FACTORS, strict=True)) ^ keys
    mixed = (mixed ^ (mixed >> 16)) * FIRST_FACTOR
    mixed = (mixed ^ (mixed >> 15)) * SECOND_FACTOR
    chosen = (((mixed >> 16) & 0xFFFF) * len(GRADIENTS)) >> 16
    table = torch.tensor(GRADIENTS, device=corners.device)
    return F.embedding(chosen, table).movedim(-1, 0)


def _lattice_variance() -> float:
    """The variance of one octave, the mean over the lattice's cell.

    Gradients are independent and isotropic to second order, so it is density · E|g|²/3 ·
    ∫ r²·kernel(r)² d³r, and with kernel (R² − r²)⁴ the integral is 2π·R²¹·B(5/2, 9).
    """
    density = 1 / (1 - 3 * UNSKEW)
    length = sum(component**2 for component in GRADIENTS[0])
    beta = math.gamma(2.5) * math.gamma(9) / math.gamma(11.5)
    return density * length / 3 * 2 * math.pi * REACH**10.5 * beta
