import numpy as np
import pytest
from scipy import ndimage

from models.blocks.anomaly.evaluation.postprocess import (
    Filtering,
    drop_small_components,
    eroded,
    filtered_residual,
    masked_median,
    published_erosion,
)


def ball(shape, radius):
    distances = [
        (index - (n - 1) / 2) / n for index, n in zip(np.indices(shape), shape, strict=True)
    ]
    return sum(distance**2 for distance in distances) < radius**2


@pytest.fixture
def residual():
    return np.random.default_rng(0).random((9, 20, 16), dtype=np.float32)


def test_erosion_takes_the_outermost_pixels_of_each_slice_and_knows_no_other_slice():
    mask = ball((9, 20, 16), 0.45)
    cross = ndimage.generate_binary_structure(2, 1)
    expected = np.stack([ndimage.binary_erosion(plane, cross, iterations=2) for plane in mask])
    assert np.array_equal(eroded(mask, 2), expected)
    assert 0 < expected.sum() < mask.sum()


def test_no_erosion_leaves_the_mask_whole():
    mask = ball((5, 8, 8), 0.4)
    assert np.array_equal(eroded(mask, 0), mask)


@pytest.mark.parametrize(("width", "iterations"), [(96, 3), (32, 1), (24, 0)])
def test_the_published_erosion_grows_with_the_width(width, iterations):
    assert published_erosion(width) == iterations


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("radius", [0.2, 0.45, 2.0])
def test_the_median_in_a_mask_is_scipys_of_the_masked_volume(residual, size, radius):
    """A radius of 2 fills the volume, so that its edges count."""
    mask = ball(residual.shape, radius)
    expected = ndimage.median_filter(residual * mask, size=size)
    assert np.array_equal(masked_median(residual, mask, size), expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6])
def test_the_median_is_exact_at_any_scale_and_among_equals(residual, scale):
    values = (np.round(residual, 1) * np.float32(scale)).astype(np.float32)
    values[::2] *= np.float32(1.0001)  # as near as to fall into one bin
    mask = ball(values.shape, 0.45)
    expected = ndimage.median_filter(values * mask, size=5)
    assert np.array_equal(masked_median(values, mask, 5), expected)


def test_the_median_of_an_empty_mask_is_zero(residual):
    assert not masked_median(residual, np.zeros(residual.shape, bool), 5).any()


def test_an_even_window_has_no_middle(residual):
    with pytest.raises(ValueError, match="odd"):
        masked_median(residual, residual > 0, 4)


def test_a_residual_is_first_cut_to_the_eroded_brain_and_then_filtered(residual):
    mask = ball(residual.shape, 0.45)
    expected = ndimage.median_filter(residual * eroded(mask, 1), size=3)
    found = filtered_residual(residual, mask, Filtering(erosion=1, median_size=3))
    assert np.array_equal(found, expected)


def test_components_up_to_the_limit_go_and_larger_ones_stay():
    mask = np.zeros((3, 12, 12), bool)
    mask[0, 0, :7] = True
    mask[2, 4, :8] = True
    kept = drop_small_components(mask, 7)
    assert not kept[0].any()
    assert np.array_equal(kept[2], mask[2])


def test_voxels_that_share_a_corner_alone_are_one_component():
    mask = np.zeros((8, 8, 8), bool)
    mask[np.arange(8), np.arange(8), np.arange(8)] = True
    assert drop_small_components(mask, 7).sum() == 8
    assert not drop_small_components(mask, 8).any()


def test_with_a_limit_of_zero_nothing_is_dropped():
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = True
    assert np.array_equal(drop_small_components(mask, 0), mask)
