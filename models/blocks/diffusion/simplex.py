"""Simplex noise for a batch of images at once: every sample, octave and pixel together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.blocks.diffusion.hashing import hashed, uniforms

OFFSET_STREAM, LATTICE_STREAM = 101, 102

SKEW, UNSKEW = (math.sqrt(3) - 1) / 2, (3 - math.sqrt(3)) / 6  # squares to triangles and back
REACH = 0.5  # squared: a corner's kernel ends at the far side of its triangles, so nothing jumps
# OpenSimplex, which the published noise is made of, has this kernel with a reach twice as far.
OPENSIMPLEX_SCALE = 2.0
# Odd factors that spread a corner's two indices over 32 bits, and those of a 32-bit finalizer;
# all as signed integers, whose products wrap around.
ROW_FACTOR, COLUMN_FACTOR = -1640531535, -2048144777
FIRST_FACTOR, SECOND_FACTOR = 0x7FEB352D, -0x7B935975


def simplex_noise(
    seeds: Tensor, height: int, width: int, *, octaves: int, persistence: float, frequency: float
) -> Tensor:
    """Two-dimensional simplex noise, summed over octaves.

    The first octave has a wavelength of `frequency` pixels, each further one half the wavelength
    and `persistence` times the amplitude, as in Wyatt et al. 2022 ("AnoDDPM: anomaly detection
    with denoising diffusion probabilistic models using simplex noise") and the models that
    follow it. It differs from theirs in three ways. Its variance is 1, where theirs follows from
    the parameters: 0.35 for 6 octaves and a persistence of 0.8. Each octave of each sample has an
    offset of its own, so that the variance is the same at every pixel, where theirs is zero at
    the first. And the samples of a batch differ.

    The algorithm is Perlin's, after Gustavson 2005 ("Simplex noise demystified"), with a hash for
    his permutation table and gradients of any angle. It is scaled so that its kernel, and by that
    its autocorrelation, is that of OpenSimplex.

    Args:
        seeds: (B,) int64; a sample's noise is a function of its own seed alone.
        frequency: the first octave's wavelength in pixels, as its authors call it.

    Returns:
        (B, 1, height, width) float32 on the seeds' device, of mean 0 and variance 1 over seeds.
    """
    x, y = _points(seeds, height, width, octaves, frequency)
    keys = hashed(seeds, LATTICE_STREAM, octaves).to(torch.int32)[..., None, None]
    powers = [persistence ** (2 * octave) for octave in range(octaves)]
    # In Python, as a sum on a GPU would have to be waited for.
    first = 1 / math.sqrt(_octave_variance() * sum(powers))
    amplitudes = first * persistence ** torch.arange(octaves, device=seeds.device)
    # No einsum: under autocast it would round the noise.
    return (_octave_noise(x, y, keys) * amplitudes[:, None, None]).sum(dim=1, keepdim=True)


def _points(
    seeds: Tensor, height: int, width: int, octaves: int, frequency: float
) -> tuple[Tensor, Tensor]:
    """Each pixel's place in each octave: x (B, octaves, 1, width) and y (B, octaves, height, 1)."""
    device = seeds.device
    octave = torch.arange(octaves, device=device)[:, None]
    per_pixel = 2.0**octave / (frequency * OPENSIMPLEX_SCALE)
    # Uniform over the lattice's unit cell: after this every pixel is like every other.
    cell = uniforms(seeds, OFFSET_STREAM, octaves * 2).reshape(-1, octaves, 2)
    offset = cell - UNSKEW * cell.sum(dim=2, keepdim=True)
    x = offset[..., :1] + per_pixel * torch.arange(width, device=device)
    y = offset[..., 1:] + per_pixel * torch.arange(height, device=device)
    return x[..., None, :], y[..., None]


def _octave_noise(x: Tensor, y: Tensor, keys: Tensor) -> Tensor:
    """Noise at points of a plane.

    Args:
        x, y, keys: broadcasting to one shape; `keys` int32, that the gradients are a hash of.

    Returns:
        That shape, of mean 0 and variance `_octave_variance()` over the lattice's cell.
    """
    skew = (x + y) * SKEW
    column, row = torch.floor(x + skew), torch.floor(y + skew)
    unskew = (column + row) * UNSKEW
    # From the corner of the skewed square to the point.
    x, y = x - column + unskew, y - row + unskew
    place = column.to(torch.int32) * COLUMN_FACTOR + row.to(torch.int32) * ROW_FACTOR
    # The square's two triangles share two corners and differ in the third.
    lower = (x > y).to(torch.int32)
    side = place + ROW_FACTOR + lower * (COLUMN_FACTOR - ROW_FACTOR)
    opposite = place + COLUMN_FACTOR + ROW_FACTOR
    noise = _corner(x, y, place ^ keys)
    noise += _corner(x - lower + UNSKEW, y - 1 + lower + UNSKEW, side ^ keys)
    noise += _corner(x - 1 + 2 * UNSKEW, y - 1 + 2 * UNSKEW, opposite ^ keys)
    return noise


def _corner(x: Tensor, y: Tensor, bits: Tensor) -> Tensor:
    """What a lattice corner adds at distance (x, y): kernel · gradient · distance."""
    bits = (bits ^ (bits >> 16)) * FIRST_FACTOR
    bits = (bits ^ (bits >> 15)) * SECOND_FACTOR
    angle = bits * (math.pi / 2**31)
    kernel = (REACH - x * x - y * y).relu_().square_().square_()
    return kernel * (torch.cos(angle) * x + torch.sin(angle) * y)


def _octave_variance() -> float:
    """The variance of one octave, the mean over the lattice's cell.

    Gradients of unit length are independent and of any angle, so it is the lattice's density ·
    ½ ∫ r²·kernel(r)² d²r; with a kernel of (R² − r²)⁴ the integral is π·R²⁰·B(2, 9) = π·R²⁰/90.
    """
    density = 1 / (1 - 2 * UNSKEW)
    return density / 2 * math.pi * REACH**10 / 90
