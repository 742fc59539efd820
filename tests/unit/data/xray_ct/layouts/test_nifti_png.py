import itertools

import nibabel
import numpy as np
import pytest
from PIL import Image

from data.xray_ct.layouts.nifti_png import NiftiPngFormat, canonical
from protocol.errors import DataError

FORM = NiftiPngFormat()


@pytest.fixture
def body():
    """(10, 8, 6) to the right, anterior and superior: bone at the right, in front, above."""
    values = np.full((10, 8, 6), -1000, dtype=np.float32)
    values[9, 7, 5] = 900
    values[0, 3, 5] = 40  # on the left
    return values


@pytest.fixture
def case(tmp_path, body):
    folder = tmp_path / "p1"
    folder.mkdir()
    save(folder / "p1.nii.gz", body, np.diag([1.0, 2.0, 3.0, 1.0]))
    for view, grey in (("pa", 51), ("lat", 204)):
        Image.fromarray(np.full((9, 9), grey, np.uint8)).save(folder / f"p1_{view}_drr.png")
    (found,) = FORM.cases(tmp_path)
    return found


def save(path, values, affine):
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(values, affine), path)


def test_the_head_comes_first_then_the_front_then_the_right(case):
    hu = FORM.volume(case, None)
    assert hu.shape == (6, 8, 10)
    assert hu[0, 0, 0] == 900
    assert hu[0, 4, 9] == 40
    extent = FORM.check(case, None)
    assert extent.shape == (6, 8, 10)
    assert extent.voxel_size == pytest.approx((3.0, 2.0, 1.0))


def test_eight_bit_views_are_read_front_first(case):
    front, lateral = FORM.xrays(case)
    assert front.max() == pytest.approx(0.2)
    assert lateral.max() == pytest.approx(0.8)


@pytest.mark.parametrize("flips", [(), (0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_files_of_any_orientation_give_the_same_volume(body, axes, flips):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    expected, sides = canonical(body, affine)
    stored = body
    for axis in flips:
        stored = np.flip(stored, axis)
        affine[:3, 3] += affine[:3, axis] * (body.shape[axis] - 1)
        affine[:3, axis] *= -1
    found, found_sides = canonical(stored.transpose(axes), affine[:, [*axes, 3]])
    np.testing.assert_array_equal(found, expected)
    assert found_sides == sides == (3.0, 2.0, 1.0)


def test_headers_of_turned_files_tell_shape_and_voxel_size_in_the_same_order(case, body):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])[:, [2, 0, 1, 3]]
    save(case.ct, body.transpose(2, 0, 1), affine)
    extent = FORM.check(case, None)
    assert extent.shape == FORM.volume(case, None).shape == (6, 8, 10)
    assert extent.voxel_size == pytest.approx((3.0, 2.0, 1.0))


def test_an_oblique_volume_is_turned_to_the_nearest_axes(body):
    angle = np.radians(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    found, sides = canonical(body, turn @ np.diag([1.0, 2.0, 3.0, 1.0]))
    np.testing.assert_array_equal(found, canonical(body, np.diag([1.0, 2.0, 3.0, 1.0]))[0])
    assert sides == pytest.approx((3.0, 2.0, 1.0))


def test_files_without_compression_are_found(case, body, tmp_path):
    case.ct.unlink()
    save(tmp_path / "p1" / "p1.nii", body, np.eye(4))
    assert FORM.cases(tmp_path)[0].ct.name == "p1.nii"


def test_a_fourth_axis_of_one_is_no_harm(case, body):
    save(case.ct, body[..., None], np.diag([1.0, 2.0, 3.0, 1.0]))
    assert FORM.check(case, None).shape == FORM.volume(case, None).shape == (6, 8, 10)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((6, 6, 6), np.nan, np.float32), "NaN"),
        (np.linspace(-1, 1, 216, dtype=np.float32).reshape(6, 6, 6), "not in Hounsfield units"),
    ],
)
def test_values_that_are_no_hounsfield_units_are_refused(case, values, words):
    save(case.ct, values, np.eye(4))
    FORM.check(case, None)
    with pytest.raises(DataError, match=words):
        FORM.volume(case, None)


def test_headers_that_are_of_no_use_are_refused(case, body):
    save(case.ct, body[:, :, :2], np.eye(4))
    with pytest.raises(DataError, match="at least 4 voxels"):
        FORM.check(case, None)
    case.front.write_text("no image")
    save(case.ct, body, np.eye(4))
    with pytest.raises(DataError, match=r"p1_pa_drr\.png is no PNG"):
        FORM.check(case, None)
