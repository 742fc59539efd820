import itertools
from pathlib import Path

import numpy as np
import pytest

from data.xray_ct.layouts.format import CaseFiles, check_finite, check_shape, ordered, there, turned
from protocol.errors import DataError

OPPOSITE = dict(zip("IPLSAR", "SARIPL", strict=True))


def stored_as(canonical, axes):
    """A canonical volume as a file with axes that lead to `axes` holds it."""
    order = ["IS", "PA", "LR"]
    places = [next(i for i, pair in enumerate(order) if letter in pair) for letter in axes]
    values = canonical.transpose(places)
    flips = [i for i, letter in enumerate(axes) if letter not in "IPL"]
    return np.flip(values, flips), places


def all_axes():
    for letters in itertools.permutations("IPL"):
        for flips in itertools.product((False, True), repeat=3):
            yield "".join(
                OPPOSITE[one] if flip else one for one, flip in zip(letters, flips, strict=True)
            )


@pytest.mark.parametrize("axes", list(all_axes()))
def test_volumes_with_any_axes_are_turned_to_head_to_feet_front_to_back_right_to_left(axes):
    canonical = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    stored, places = stored_as(canonical, axes)
    np.testing.assert_array_equal(turned(stored, axes), canonical)
    sides = [(2, 3, 4)[place] for place in places]
    assert ordered(sides, axes) == (2, 3, 4)


def test_volumes_are_canonical_unless_it_is_said_otherwise():
    values = np.arange(8).reshape(2, 2, 2)
    assert turned(values, None) is values
    assert ordered((1, 2, 3), None) == (1, 2, 3)


@pytest.mark.parametrize("shape", [(8, 9, 10), (1, 8, 9, 10)])
def test_a_volume_may_have_a_leading_axis_of_one_channel(shape):
    assert check_shape(Path("a.pt"), shape) == (8, 9, 10)


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8, 8), (8, 8, 2), ()])
def test_what_is_no_volume_is_refused(shape):
    with pytest.raises(DataError, match=r"a\.pt has the shape .* expected a volume"):
        check_shape(Path("a.pt"), shape)


def test_voxels_that_are_no_numbers_are_counted():
    values = np.zeros((4, 4, 4), dtype=np.float32)
    values[0, 0, :2] = np.nan, np.inf
    with pytest.raises(DataError, match=r"a\.pt has 2 NaN or infinite"):
        check_finite(Path("a.pt"), values)


def test_a_missing_file_is_named_with_its_case(tmp_path):
    with pytest.raises(DataError, match=r"AP\.pt, which the case one needs"):
        there(tmp_path / "AP.pt", "one")


def test_a_file_that_holds_all_of_a_case_is_counted_once():
    path = Path("a.h5")
    assert CaseFiles(name="a", ct=path, front=path, lateral=path).files == (path,)
