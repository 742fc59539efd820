import gzip
import itertools

import nibabel
import numpy as np
import pytest
from PIL import Image

from data.xray_ct.layouts.nifti_png import NiftiPngFormat
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
def test_files_of_any_orientation_give_the_same_volume(case, body, axes, flips):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    expected = FORM.volume(case, None)
    stored = body
    for axis in flips:
        stored = np.flip(stored, axis)
        affine[:3, 3] += affine[:3, axis] * (body.shape[axis] - 1)
        affine[:3, axis] *= -1
    save(case.ct, stored.transpose(axes), affine[:, [*axes, 3]])
    np.testing.assert_array_equal(FORM.volume(case, None), expected)
    extent = FORM.check(case, None)
    assert (extent.shape, extent.voxel_size) == (expected.shape, pytest.approx((3.0, 2.0, 1.0)))


def test_headers_of_turned_files_tell_shape_and_voxel_size_in_the_same_order(case, body):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])[:, [2, 0, 1, 3]]
    save(case.ct, body.transpose(2, 0, 1), affine)
    extent = FORM.check(case, None)
    assert extent.shape == FORM.volume(case, None).shape == (6, 8, 10)
    assert extent.voxel_size == pytest.approx((3.0, 2.0, 1.0))


@pytest.mark.parametrize("angle", [20, 60])
def test_an_oblique_volume_is_resampled_along_the_patients_axes(case, angle):
    """A rod from feet to head stands upright, however the slices were taken."""
    right, anterior, superior = np.meshgrid(*(np.arange(25.0) - 12,) * 3, indexing="ij")
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    there = np.stack([right, anterior, superior], axis=-1) @ turn.T
    rod = (np.abs(there[..., 0] - 4) < 1.6) & (np.abs(there[..., 1] - 2) < 1.6)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, turn @ np.full(3, -12)
    save(case.ct, np.where(rod, 40.0, -1000.0).astype(np.float32), affine)
    hu, extent = FORM.volume(case, None), FORM.check(case, None)
    assert hu.shape == extent.shape
    assert extent.voxel_size == pytest.approx((1.0, 1.0, 1.0))
    middle = (np.array(hu.shape) - 1) / 2
    for plane in np.linspace(middle[0] - 6, middle[0] + 6, 4).astype(int):
        rows, columns = np.nonzero(hu[plane] > -400)
        assert rows.mean() == pytest.approx(middle[1] - 2, abs=0.6)
        assert columns.mean() == pytest.approx(middle[2] - 4, abs=0.6)


def test_what_a_header_leaves_open_is_remarked_on(case, body):
    image = nibabel.nifti1.Nifti1Image(body, np.diag([1.0, 2.0, 3.0, 1.0]))
    image.set_qform(None, code=0)
    image.set_sform(None, code=0)
    nibabel.loadsave.save(image, case.ct)
    (remark,) = FORM.check(case, None).remarks
    assert "left and right are a guess" in remark


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


@pytest.mark.parametrize(("field", "value"), [("datatype", 9999), ("scl_inter", np.nan)])
def test_a_header_that_a_library_stumbles_over_is_told_in_a_sentence(case, field, value):
    data = bytearray(gzip.decompress(case.ct.read_bytes()))
    header = np.frombuffer(data, nibabel.nifti1.header_dtype, count=1).copy()
    header[field], header["scl_slope"] = value, 1.0
    data[: header.nbytes] = header.tobytes()
    case.ct.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(DataError, match=r"p1\.nii\.gz is truncated or damaged, or not a NIfTI"):
        FORM.check(case, None)


def test_headers_that_are_of_no_use_are_refused(case, body):
    save(case.ct, body[:, :, :2], np.eye(4))
    with pytest.raises(DataError, match="at least 4 voxels"):
        FORM.check(case, None)
    case.front.write_text("no image")
    save(case.ct, body, np.eye(4))
    with pytest.raises(DataError, match=r"p1_pa_drr\.png is .* not a PNG image"):
        FORM.check(case, None)
