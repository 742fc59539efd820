import numpy as np
import pytest

from data.geometry import ParallelGeometry
from data.lodopab.plausible import mass_ratio, mistake, shows_something
from data.physics.parallel import MU_MAX, simulate


@pytest.fixture(scope="module", params=[(100, 47), (30, 91)], ids=str)
def scan(request):
    """A noisy sinogram, its image, and the geometry."""
    angles, detectors = request.param
    geometry = ParallelGeometry.lodopab(angles=angles, detectors=detectors, image_size=32)
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, 96),) * 2, indexing="ij")
    body = np.where((rows / 0.9) ** 2 + (columns / 0.6) ** 2 < 1, 0.25, 0.0)
    body[(rows - 0.3) ** 2 + columns**2 < 0.05] = 0.6
    fine = body.astype(np.float32)[None]
    sinograms, images = simulate(fine, geometry, [np.random.default_rng(0)])
    return sinograms[0], images[0], geometry


def test_a_sinogram_of_its_image_is_right(scan):
    sinogram, image, geometry = scan
    assert mistake(sinogram, image, geometry) is None
    assert mass_ratio(sinogram, image, geometry) == pytest.approx(1, abs=0.03)


def test_a_transposed_one_is_told_so(scan):
    sinogram, image, geometry = scan
    stored = ParallelGeometry.lodopab(
        angles=geometry.detectors, detectors=geometry.angles, image_size=32
    )
    assert "transpose" in (mistake(sinogram.T, image, stored) or "")


@pytest.mark.parametrize(
    ("stored", "words"),
    [(lambda s: np.exp(-MU_MAX * s), "−ln"), (lambda s: MU_MAX * s, "divide by 81.3586")],
)
def test_one_in_another_unit_is_told_so(scan, stored, words):
    sinogram, image, geometry = scan
    assert words in (mistake(stored(sinogram).astype(np.float32), image, geometry) or "")


def test_what_is_none_of_these_is_left_to_the_ratio(scan):
    sinogram, image, geometry = scan
    assert mistake(3 * sinogram, image, geometry) is None
    assert mass_ratio(3 * sinogram, image, geometry) == pytest.approx(3, rel=0.05)


def test_air_shows_nothing():
    assert not shows_something(np.full((64, 64), 0.01, np.float32))
    image = np.zeros((64, 64), np.float32)
    image[30:34, 30:34] = 0.25
    assert shows_something(image)
