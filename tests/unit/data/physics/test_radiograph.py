import math

import numpy as np
import pytest

from data.physics.drr import ConeBeam
from data.physics.radiograph import WHITE, XrayTube, noisy, radiographs, water_attenuation

VOXEL = (2.0, 2.0, 2.0)


@pytest.fixture
def block():
    """40 mm of air with 20 mm of water in its middle, bone in front of it on the right."""
    hu = np.full((20, 20, 20), -1000, dtype=np.float32)
    hu[5:15, 5:15, 5:15] = 0
    hu[5:15, 5:7, 5:8] = 1000
    return hu


def test_water_is_as_bright_as_its_share_of_the_longest_side(block):
    front, lateral = radiographs(block, VOXEL, 20)
    assert front[10, 12] == pytest.approx(20 / 40 / WHITE)
    assert lateral[10, 12] == pytest.approx(20 / 40 / WHITE)
    assert front[1, 1] == 0


def test_bone_is_brighter_than_water_and_lies_where_it_is(block):
    front, lateral = radiographs(block, VOXEL, 20)
    assert front[10, 6] == pytest.approx(24 / 40 / WHITE)  # on the right, so on the left
    assert lateral[10, 6] == pytest.approx(26 / 40 / WHITE)  # in front, so on the left


def test_less_than_air_absorbs_nothing():
    hu = np.full((8, 8, 8), -3024, dtype=np.float32)
    assert radiographs(hu, VOXEL, 8).max() == 0


def test_what_is_denser_than_white_is_white():
    images = radiographs(np.full((8, 8, 8), 3000, dtype=np.float32), VOXEL, 8)
    assert images.max() == 1
    assert images[:, 2:6, 2:6].min() == 1


def test_grey_values_without_noise_do_not_depend_on_the_energy(block):
    dim, bright = (radiographs(block, VOXEL, 20, XrayTube(energy=kev)) for kev in (40, 120))
    np.testing.assert_allclose(dim, bright, rtol=1e-5)


def test_noise_is_that_of_photons_counted_after_beer_and_lambert():
    absorbed = np.full((2, 200, 200), 1.5, dtype=np.float32)
    found = noisy(absorbed, 1e4, np.random.default_rng(0))
    assert found.mean() == pytest.approx(1.5, abs=2e-3)
    # The deviation of −ln N is 1/√N, N = I₀·exp(−1.5).
    assert found.std() == pytest.approx(1 / math.sqrt(1e4 * math.exp(-1.5)), rel=0.03)


def test_a_pixel_that_no_photon_reaches_stays_finite():
    found = noisy(np.full((1, 4, 4), 50, dtype=np.float32), 100, np.random.default_rng(0))
    assert np.isfinite(found).all()


def test_less_energy_means_fewer_photons_and_more_noise(block):
    def deviation(kev):
        tube = XrayTube(energy=kev, photons=500)
        rng = np.random.default_rng(1)
        clean, noise = radiographs(block, VOXEL, 20), radiographs(block, VOXEL, 20, tube, rng)
        return ((noise - clean) * water_attenuation(kev))[:, 8:12, 8:12].std()

    assert deviation(20) > 1.1 * deviation(150)


def test_noise_without_random_numbers_is_refused(block):
    with pytest.raises(ValueError, match="generator"):
        radiographs(block, VOXEL, 20, XrayTube(photons=100))


@pytest.mark.parametrize(("from_behind", "larger"), [(False, "front"), (True, "back")])
def test_a_cone_from_behind_magnifies_the_back_and_keeps_right_on_the_left(from_behind, larger):
    hu = np.full((40, 40, 40), -1000, dtype=np.float32)
    hu[4:12, 2, 14:26] = 1000  # in front, above
    hu[28:36, 37, 14:26] = 1000  # behind, below
    hu[18:22, 20, 4:8] = 1000  # on the right
    beam = ConeBeam(source_isocentre=150, source_detector=300)
    image = radiographs(hu, VOXEL, 40, XrayTube(beam=beam, from_behind=from_behind))[0]
    upper, lower = ((half > 0.01).any(axis=0).sum() for half in (image[:17], image[23:]))
    assert (upper > lower) == (larger == "front")
    assert image[20, :12].max() > 0.01
    assert image[20, 28:].max() == 0


def test_water_attenuates_as_tabled_and_interpolated():
    assert water_attenuation(60) == pytest.approx(0.02059)
    assert 0.0184 < water_attenuation(70) < 0.0206
    with pytest.raises(ValueError, match="expected 20 to 150"):
        water_attenuation(5)
