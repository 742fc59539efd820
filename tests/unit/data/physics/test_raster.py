import numpy as np
import pytest

from data.physics.raster import Blob, coverage, paint


@pytest.mark.parametrize("turn", [0.0, 0.7])
@pytest.mark.parametrize("size", [64, 200])
def test_an_ellipse_covers_its_area_about_its_centre(size, turn):
    blob = Blob(centre=(0.2, -0.3), radii=(0.15, 0.4), turn=turn)
    image = np.zeros((size, size), np.float32)
    paint(image, blob, 1.0)
    at = (np.arange(size) + 0.5) * 2 / size - 1
    assert image.sum() * (2 / size) ** 2 == pytest.approx(np.pi * 0.15 * 0.4, rel=0.01)
    assert image.sum(1) @ at / image.sum() == pytest.approx(0.2, abs=1e-3)
    assert image.sum(0) @ at / image.sum() == pytest.approx(-0.3, abs=1e-3)


def test_the_first_radius_points_down_and_turns_towards_the_right():
    tall = np.zeros((60, 60), np.float32)
    paint(tall, Blob(centre=(0, 0), radii=(0.8, 0.1)), 1.0)
    assert tall[5, 30] == 0
    assert tall[10, 30] == tall[50, 30] == 1
    assert tall[30, 10] == 0
    slanted = np.zeros((60, 60), np.float32)
    paint(slanted, Blob(centre=(0, 0), radii=(0.8, 0.1), turn=np.pi / 4), 1.0)
    assert slanted[42, 42] == slanted[17, 17] == 1
    assert slanted[17, 42] == slanted[42, 17] == 0


def test_edges_are_mixed_and_the_inside_is_full():
    image = np.full((80, 80), 0.2, np.float32)
    paint(image, Blob(centre=(0, 0), radii=(0.51, 0.51)), 0.6)
    assert image[40, 40] == image[39, 39] == np.float32(0.6)
    assert image[5, 5] == np.float32(0.2)
    edge = image[40][(image[40] > 0.21) & (image[40] < 0.59)]
    assert 0 < edge.size <= 6


@pytest.mark.parametrize("size", [41, 40])
def test_the_very_middle_is_inside_also_where_a_pixel_lies_on_it(size):
    image = np.zeros((size, size), np.float32)
    paint(image, Blob(centre=(0, 0), radii=(0.5, 0.5)), 1.0)
    assert image[size // 2 - 3 : size // 2 + 4, size // 2 - 3 : size // 2 + 4].min() == 1


def test_waves_move_the_outline():
    waved = Blob(centre=(0, 0), radii=(0.5, 0.5), waves=((2, 0.2, 0.0),))
    image = np.zeros((100, 100), np.float32)
    paint(image, waved, 1.0)
    assert image[:, 50].sum() == pytest.approx(60, abs=1)
    assert image[50].sum() == pytest.approx(40, abs=1)


def test_a_blob_that_reaches_out_is_cut_and_one_outside_draws_nothing():
    image = np.zeros((40, 40), np.float32)
    paint(image, Blob(centre=(0, 1), radii=(0.5, 0.5)), 1.0)
    assert image.sum() * (2 / 40) ** 2 == pytest.approx(np.pi * 0.25 / 2, rel=0.02)
    assert coverage(Blob(centre=(0, 2), radii=(0.5, 0.5)), 40) is None
