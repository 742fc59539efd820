import itertools

import numpy as np
import pytest

from data.xray_ct.windows import window_corners

EXTENTS = [(4, 4, 4), (7, 5, 9), (16, 11, 8), (1, 3, 2), (13, 13, 13)]


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
def test_every_voxel_is_in_a_window_and_every_window_in_the_volume(extent, overlap):
    for patch in range(1, min(extent) + 1):
        seen = np.zeros(extent, dtype=int)
        for corner in window_corners(extent, patch, overlap):
            window = tuple(slice(start, start + patch) for start in corner)
            assert seen[window].shape == (patch,) * 3
            seen[window] += 1
        assert seen.min() >= 1


@pytest.mark.parametrize("extent", EXTENTS)
def test_the_last_window_of_each_axis_is_flush_with_the_end(extent):
    for patch, overlap in itertools.product((1, min(extent)), (0, 0.5)):
        corners = np.array(window_corners(extent, patch, overlap))
        assert (corners.max(axis=0) == np.array(extent) - patch).all()
        assert len({tuple(corner) for corner in corners}) == len(corners)


def test_windows_without_overlap_that_fit_share_no_voxel():
    assert window_corners((8, 4, 4), 4, 0) == [(0, 0, 0), (4, 0, 0)]


def test_windows_begin_a_stride_apart_that_follows_from_the_overlap():
    starts = [corner[0] for corner in window_corners((20, 8, 8), 8, 0.5)]
    assert starts == [0, 4, 8, 12]
    assert [corner[2] for corner in window_corners((8, 8, 21), 8, 0.25)] == [0, 6, 12, 13]


def test_a_window_may_have_sides_of_its_own():
    corners = window_corners((4, 6, 8), (4, 3, 8), 0)
    assert corners == [(0, 0, 0), (0, 3, 0)]


@pytest.mark.parametrize(
    ("extent", "patch", "overlap"),
    [
        ((4, 4, 3), 4, 0),
        ((4, 4, 4), 0, 0),
        ((4, 4, 4), 2, 1),
        ((4, 4, 4), 2, -0.1),
        ((4, 4), 2, 0),
    ],
)
def test_windows_that_cannot_be_are_refused(extent, patch, overlap):
    with pytest.raises(ValueError, match="expected"):
        window_corners(extent, patch, overlap)
