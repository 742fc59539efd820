import numpy as np
import pytest

from data.xray_ct.resize import resize_volume


@pytest.mark.parametrize("shape", [(8, 8, 8), (5, 16, 11), (32, 4, 16)])
def test_resizing_keeps_the_mean_and_a_gradient_along_every_axis(shape):
    d, h, w = np.meshgrid(*[(np.arange(16) + 0.5) / 16] * 3, indexing="ij")
    values = (d + 10 * h + 100 * w).astype(np.float32)
    found = resize_volume(values, shape)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert found.mean() == pytest.approx(values.mean(), rel=1e-3)
    places = [(np.arange(side) + 0.5) / side for side in shape]
    expected = places[0][:, None, None] + 10 * places[1][:, None] + 100 * places[2]
    inner = tuple(slice(side // 4, side - side // 4) for side in shape)
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0.02)


def test_the_same_size_changes_nothing():
    values = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    np.testing.assert_array_equal(resize_volume(values, (4, 5, 6)), values)


def test_detail_finer_than_the_new_voxels_becomes_its_mean():
    noise = np.random.default_rng(0).standard_normal((32, 32, 32), dtype=np.float32)
    assert resize_volume(noise, (8,) * 3).std() < 0.1  # of 64 voxels and more each
