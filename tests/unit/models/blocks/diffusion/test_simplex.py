"""Against two references: the algorithm written as plain loops over lattice corners, and the
statistics of OpenSimplex, of which the published noise is made, from its definition."""

import itertools
import math

import numpy as np
import pytest
import torch

from models.blocks.diffusion import simplex
from models.blocks.diffusion.hashing import hashed, uniforms
from models.blocks.diffusion.simplex import simplex_noise

SAMPLES = 6000


def signed(number):
    return (number + 2**31) % 2**32 - 2**31


def gradient(column, row, key):
    bits = signed(column * simplex.COLUMN_FACTOR + row * simplex.ROW_FACTOR) ^ key
    bits = signed((bits ^ (bits >> 16)) * simplex.FIRST_FACTOR)
    bits = signed((bits ^ (bits >> 15)) * simplex.SECOND_FACTOR)
    angle = bits / 2**31 * math.pi
    return math.cos(angle), math.sin(angle)


def value_at(x, y, key):
    """Every lattice corner nearby adds kernel · gradient · distance; none is chosen."""
    shear = (3 - math.sqrt(3)) / 6
    skewed = (x + y) * (math.sqrt(3) - 1) / 2
    total = 0.0
    for column, row in itertools.product(range(-2, 4), repeat=2):
        i, j = math.floor(x + skewed) + column, math.floor(y + skewed) + row
        dx, dy = x - i + (i + j) * shear, y - j + (i + j) * shear
        kernel = max(0.0, 0.5 - dx * dx - dy * dy) ** 4
        if kernel:
            gx, gy = gradient(i, j, key)
            total += kernel * (gx * dx + gy * dy)
    return total


def slow_noise(seed, side, octaves, persistence, frequency):
    seeds = torch.tensor([seed])
    keys = hashed(seeds, simplex.LATTICE_STREAM, octaves)[0].tolist()
    cells = uniforms(seeds, simplex.OFFSET_STREAM, 2 * octaves)[0].tolist()
    image = np.zeros((side, side))
    shear = (3 - math.sqrt(3)) / 6
    for octave in range(octaves):
        u, v = cells[2 * octave], cells[2 * octave + 1]
        left, top = u - shear * (u + v), v - shear * (u + v)
        scale = 2**octave / (2 * frequency)
        for row, column in np.ndindex(side, side):
            value = value_at(left + column * scale, top + row * scale, signed(keys[octave]))
            image[row, column] += persistence**octave * value
    return image


def test_it_is_the_sum_over_all_lattice_corners():
    found = simplex_noise(
        torch.tensor([3, 2**61 + 5]), 24, 24, octaves=3, persistence=0.7, frequency=16
    ).numpy()
    for image, seed in zip(found[:, 0], [3, 2**61 + 5], strict=True):
        expected = slow_noise(seed, 24, 3, 0.7, 16)
        scale = image.std() / expected.std()
        assert image == pytest.approx(scale * expected, abs=2e-3)
        # The same factor for every seed: the noise is not normalised image by image.
        assert scale == pytest.approx(math.sqrt(1 / variance_of_octaves(3, 0.7)), rel=2e-3)


def variance_of_octaves(octaves, persistence):
    """From a numerical integral of what one corner adds, over the lattice's density."""
    side = np.linspace(-0.75, 0.75, 1501)
    squared = side[:, None] ** 2 + side**2
    kernel = np.maximum(0, 0.5 - squared) ** 4
    integral = (kernel**2 * squared / 2).sum() * (side[1] - side[0]) ** 2
    return integral * math.sqrt(3) * sum(persistence ** (2 * octave) for octave in range(octaves))


def opensimplex(rng, points):
    """OpenSimplex noise at points (P, 2) for SAMPLES random gradients and offsets: (SAMPLES, P).

    Every lattice corner nearer than √2 adds (2 − r²)⁴ · gradient · distance, over 47.
    """
    squish = (math.sqrt(3) - 1) / 2
    gradients = np.array([(5, 2), (2, 5)])
    gradients = np.concatenate([gradients * signs for signs in itertools.product([1, -1], [1, -1])])
    offsets = rng.uniform(0, 1, (SAMPLES, 1, 2))
    places = points + offsets + squish * offsets.sum(axis=2, keepdims=True)
    total = np.zeros((SAMPLES, len(points)))
    for i, j in itertools.product(range(-5, 6), repeat=2):
        distance = places - (np.array([i, j]) + squish * (i + j))
        kernel = np.maximum(0, 2 - (distance**2).sum(axis=2)) ** 4
        chosen = gradients[rng.integers(0, len(gradients), SAMPLES)][:, None]
        total += kernel * (chosen * distance).sum(axis=2)
    return total / 47


def test_its_correlation_over_distance_is_that_of_opensimplex():
    frequency, lags = 8, [0, 2, 4, 6, 9, 16]
    rng = np.random.default_rng(0)
    points = np.array([(lag / frequency, 0) for lag in lags])
    reference = opensimplex(rng, points)
    expected = (reference[:, :1] * reference).mean(axis=0) / (reference**2).mean()
    row = simplex_noise(
        torch.arange(SAMPLES), 1, 17, octaves=1, persistence=1, frequency=frequency
    ).numpy()[:, 0, 0]
    found = (row[:, :1] * row[:, lags]).mean(axis=0)
    assert found == pytest.approx(expected, abs=5 * math.sqrt(2 / SAMPLES))
    # It swings below zero after one wavelength and is forgotten after two.
    assert 0.3 < expected[2] < 0.6
    assert -0.25 < expected[4] < -0.08
    assert abs(expected[5]) < 0.06


def test_the_published_variance_is_what_the_description_says():
    rng = np.random.default_rng(1)
    octave = opensimplex(rng, np.zeros((1, 2))).var()
    published = octave * sum(0.8 ** (2 * number) for number in range(6))
    assert published == pytest.approx(0.35, rel=0.1)


def test_all_octaves_add_up_to_the_spectrum_of_their_wavelengths():
    """Power falls from octave to octave by persistence², at half the wavelength each."""
    images = simplex_noise(
        torch.arange(80), 64, 64, octaves=3, persistence=0.5, frequency=16
    ).numpy()[:, 0]
    window = np.hanning(64)[:, None] * np.hanning(64)
    power = (np.abs(np.fft.fft2(images * window)) ** 2).mean(axis=0)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    # An octave's power lies about 0.65 waves a wavelength; the bands are an octave wide.
    middles = [0.65 / wavelength for wavelength in (16, 8, 4)]
    bands = [
        power[(radius > middle / 2**0.5) & (radius <= middle * 2**0.5)].sum() for middle in middles
    ]
    assert bands[0] > 2 * bands[1] > 4 * bands[2]
    assert power[radius > 0.35].sum() < 0.02 * power.sum()


def test_no_pixel_is_special():
    """Without offsets of its own an octave would be zero at the first pixel of every image."""
    images = simplex_noise(torch.arange(3000), 5, 5, octaves=2, persistence=0.5, frequency=4)
    spread = images.var(dim=0)
    assert spread.min() > 0.85
    assert spread.max() < 1.15


def test_it_has_no_jumps():
    fine = simplex_noise(torch.arange(20), 40, 40, octaves=1, persistence=1, frequency=400)
    assert (fine[..., 1:] - fine[..., :-1]).abs().max() < 0.05
    assert (fine[..., 1:, :] - fine[..., :-1, :]).abs().max() < 0.05
