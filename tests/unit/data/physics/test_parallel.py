import numpy as np
import pytest

from data.geometry import ParallelGeometry
from data.physics import parallel as simulation
from data.physics.parallel import (
    FEWEST_PHOTONS,
    LANES,
    MU_MAX,
    block_mean,
    measure,
    project,
)


def disc(size: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A disc of value 1, in half widths of the image, its edge pixels weighted by coverage."""
    parts = 4
    at = (np.arange(size * parts) + 0.5) * 2 / (size * parts) - 1
    inside = (at[:, None] - centre[0]) ** 2 + (at[None] - centre[1]) ** 2 < radius**2
    return inside.reshape(size, parts, size, parts).mean((1, 3)).astype(np.float32)


def chords(geometry: ParallelGeometry, centre: tuple[float, float], radius: float) -> np.ndarray:
    """The disc's line integrals in metres: 2·√(R² − (s − s₀)²), s₀ = x₀·cos φ + y₀·sin φ."""
    half = geometry.image_half_width
    angle = geometry.angle_values
    middle = half * (centre[0] * np.cos(angle) + centre[1] * np.sin(angle))
    cells = (np.arange(geometry.detectors) + 0.5) * geometry.cell_width
    off = cells - geometry.detector_half_width - middle[:, None]
    return 2 * np.sqrt(np.maximum((radius * half) ** 2 - off**2, 0))


@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.3, -0.42), (-0.6, 0.1), (0.05, 0.7)])
def test_projections_of_a_disc_are_its_chords_wherever_it_lies(centre):
    geometry = ParallelGeometry.lodopab(angles=36, detectors=129, image_size=64)
    found = project(disc(512, centre, 0.25)[None], geometry)[0]
    expected = chords(geometry, centre, 0.25)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.003 * expected.max()
    assert found.sum(axis=1) == pytest.approx(expected.sum(axis=1), rel=0.005)


def test_projections_follow_the_geometry_when_it_is_not_the_published_one():
    geometry = ParallelGeometry(
        angles=7,
        detectors=80,
        image_size=64,
        first_angle=-0.4,
        angle_step=0.31,
        image_half_width=0.2,
        detector_half_width=0.15,
    )
    found = project(disc(512, (0.2, -0.3), 0.3)[None], geometry)[0]
    expected = chords(geometry, (0.2, -0.3), 0.3)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.003 * expected.max()


def test_a_batch_is_projected_as_each_of_its_images_alone():
    geometry = ParallelGeometry.lodopab(angles=5, detectors=23, image_size=16)
    images = np.random.default_rng(0).random((LANES + 3, 16, 16), dtype=np.float32)
    together = project(images, geometry)
    alone = np.concatenate([project(image[None], geometry) for image in images])
    assert together.shape == (LANES + 3, 5, 23)
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_a_ray_along_the_rows_sums_a_row_in_metres():
    geometry = ParallelGeometry(
        angles=1,
        detectors=4,
        image_size=4,
        first_angle=0.0,
        angle_step=1.0,
        image_half_width=0.5,
        detector_half_width=0.5,
    )
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(project(image[None], geometry)[0, 0], image.sum(axis=1) * 0.25)


def test_measurements_scatter_about_the_line_integral_as_photons_do():
    level = np.full(200_000, 0.03, dtype=np.float32)
    counts = 4096 * np.exp(-MU_MAX * measure(level, np.random.default_rng(1)).astype(float))
    expected = 4096 * np.exp(-MU_MAX * 0.03)
    assert counts.mean() == pytest.approx(expected, rel=0.001)
    assert counts.var() == pytest.approx(expected, rel=0.02)


def test_cells_without_a_photon_count_a_tenth_of_one():
    found = measure(np.full(10, 1.0, dtype=np.float32), np.random.default_rng(0), photons=4096)
    np.testing.assert_allclose(found, -np.log(FEWEST_PHOTONS / 4096) / MU_MAX, rtol=1e-6)


def test_more_photons_mean_less_noise():
    level = np.full(20_000, 0.03, dtype=np.float32)
    noise = [measure(level, np.random.default_rng(0), photons=n).std() for n in (1e3, 1e5)]
    assert noise[0] == pytest.approx(10 * noise[1], rel=0.1)


def test_pixels_are_the_mean_of_the_finer_ones_they_cover():
    fine = np.zeros((1, 6, 6), dtype=np.float32)
    fine[0, 3:, :3] = np.arange(9).reshape(3, 3) / 8
    np.testing.assert_allclose(block_mean(fine, 2)[0], [[0, 0], [0.5, 0]])


def test_measuring_depends_on_the_generator_alone_and_not_on_the_threads(monkeypatch):
    geometry = ParallelGeometry.lodopab(angles=9, detectors=23, image_size=16)
    fine = np.random.default_rng(0).random((2, 48, 48), dtype=np.float32)

    def run(seed):
        generators = [np.random.default_rng([seed, i]) for i in range(2)]
        return simulation.simulate(fine, geometry, generators)[0]

    first = run(0)
    monkeypatch.setattr(simulation, "_usable_cores", lambda: 4)
    np.testing.assert_array_equal(first, run(0))
    assert not np.array_equal(first, run(1))
    assert not np.array_equal(first[0], first[1])


def test_the_simulation_is_finer_than_the_reconstruction_and_the_detector_as_published():
    assert simulation.simulation_size(362) >= 1000
    assert ParallelGeometry.lodopab().detectors == 513
    assert ParallelGeometry.lodopab(image_size=128).detectors == 183
