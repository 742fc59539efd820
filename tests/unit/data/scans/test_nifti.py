import os
import struct
import tracemalloc

import nibabel
import numpy as np
import pytest

from data.scans.files import file_scan
from data.scans.nifti import read_nifti
from data.scans.volume import axial
from protocol.errors import DataError
from tests.unit.data.scans.bodies import BONE, bone_of, centred, depth_of, sampled


def scan_of(path):
    return file_scan(path, "somebody")


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_is_read_in_its_own_units(tmp_path, nifti, head, name):
    scan = scan_of(nifti(tmp_path / name, head))
    volume = scan.read()
    expected = axial(head, np.diag([2.0, 2.0, 3.0, 1.0]))
    np.testing.assert_array_equal(volume.values, expected.values)
    assert scan.name == name


def test_the_headers_scaling_is_applied(tmp_path, head):
    image = nibabel.nifti1.Nifti1Image((head + 1000).astype(np.int16), np.eye(4))
    image.header.set_slope_inter(1, -1000)
    nibabel.loadsave.save(image, tmp_path / "scan.nii")
    with (tmp_path / "scan.nii").open("r+b") as file:  # nibabel rescales itself when it saves
        file.seek(112)
        file.write(np.array([2.0, -5.0], dtype="<f4").tobytes())
    stored = nibabel.loadsave.load(tmp_path / "scan.nii").dataobj.get_unscaled()
    found = scan_of(tmp_path / "scan.nii").read().values
    np.testing.assert_allclose(np.sort(found.ravel()), np.sort((stored * 2.0 - 5).ravel()))


def test_a_single_time_point_is_a_volume_and_several_are_refused(tmp_path, nifti, head):
    one = scan_of(nifti(tmp_path / "one.nii", head[..., None])).read()
    assert one.values.shape == (16, 20, 24)
    several = scan_of(nifti(tmp_path / "two.nii", np.stack([head, head], -1)))
    with pytest.raises(DataError, match=r"two.nii has 4 axes \(24, 20, 16, 2\)"):
        several.read()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_named(tmp_path, nifti, head, name, kept):
    noisy = head + np.random.default_rng(0).normal(size=head.shape).astype(np.float32)
    path = nifti(tmp_path / name, noisy)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(DataError, match=rf"{name} is (truncated|not a NIfTI)") as caught:
        scan_of(path).read()
    assert "again" in str(caught.value)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("damage", [b"\x00" * 20, b"\xff" * 20])
def test_damaged_bytes_are_noticed_before_they_become_voxels(tmp_path, nifti, head, place, damage):
    noisy = head + np.random.default_rng(0).normal(size=head.shape).astype(np.float32)
    path = nifti(tmp_path / "scan.nii.gz", noisy)
    with path.open("r+b") as file:
        file.seek(int(place * path.stat().st_size))
        file.write(damage)
    with pytest.raises(DataError, match=r"scan.nii.gz is truncated or damaged"):
        scan_of(path).read()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_that_only_has_the_name_is_refused(tmp_path, name):
    (tmp_path / name).write_text("<html>" * 1000)
    with pytest.raises(DataError, match=name):
        scan_of(tmp_path / name).read()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no file .*gone.nii"):
        scan_of(tmp_path / "gone.nii").read()


def test_colours_are_refused(tmp_path):
    colours = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(colours, np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(DataError, match=r"c.nii holds .* voxels"):
        scan_of(tmp_path / "c.nii").read()


@pytest.mark.parametrize("degrees", [15.0, 40.0])
@pytest.mark.parametrize("kind", ["oblique", "sheared"])
def test_axes_that_are_not_the_patients_are_resampled(tmp_path, kind, degrees):
    angle = np.radians(degrees)
    matrix = 4.0 * np.eye(3)
    if kind == "oblique":
        turn = np.eye(3)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix = turn @ matrix
    else:
        matrix[1, 2] = 4.0 * np.tan(angle) / 2
    shape = (64, 64, 56)
    affine = centred(matrix, shape)
    image = nibabel.nifti1.Nifti1Image(sampled(affine, shape), affine)
    nibabel.loadsave.save(image, tmp_path / "scan.nii")
    volume = scan_of(tmp_path / "scan.nii").read()
    np.testing.assert_allclose(bone_of(volume), BONE, atol=1.0)
    assert depth_of(volume) == pytest.approx(140, abs=8)
    assert "resampled" in volume.remarks[0]


def with_header(path, head, edit):
    """A file whose header was changed after it was written."""
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(head, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    content = bytearray(path.read_bytes())
    edit(content)
    path.write_bytes(bytes(content))
    return scan_of(path)


def put(offset, form, *numbers):
    return lambda content: struct.pack_into(form, content, offset, *numbers)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (put(70, "<h", 9999), "truncated or damaged"),  # an unknown data type
        (put(112, "<2f", 1.0, np.nan), "truncated or damaged"),  # a slope without an intercept
        (put(42, "<3h", 9999, 9999, 9999), "header promises"),
        (put(108, "<f", 0.0), "voxels begin at byte 0"),
    ],
)
def test_a_header_that_cannot_be_is_one_sentence(tmp_path, head, edit, words):
    with pytest.raises(DataError, match=words):
        with_header(tmp_path / "scan.nii", head, edit).read()


def without_transforms(content):
    put(252, "<2h", 0, 0)(content)


def test_a_file_that_does_not_say_how_it_lies_is_remarked_on(tmp_path, head):
    scan = with_header(tmp_path / "scan.nii", head, without_transforms)
    assert "left and right are a guess" in scan.read().remarks[0]

    def flat(content):
        without_transforms(content)
        put(88, "<f", 0.0)(content)  # pixdim of the third axis

    with pytest.raises(DataError, match="voxel size"):
        with_header(tmp_path / "flat.nii", head, flat).read()


def test_two_transforms_that_disagree_are_remarked_on(tmp_path, head):
    path = tmp_path / "scan.nii"
    image = nibabel.nifti1.Nifti1Image(head, None)
    image.set_qform(np.diag([2.0, 2.0, 3.0, 1.0]), 1)
    image.set_sform(np.diag([-2.0, 2.0, 3.0, 1.0]), 1)
    nibabel.loadsave.save(image, path)
    assert "qform and sform disagree" in scan_of(path).read().remarks[0]


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1e3), ("micron", 1e-3), ("mm", 1.0)])
def test_other_units_become_millimetres(tmp_path, head, unit, scale):
    image = nibabel.nifti1.Nifti1Image(head, np.diag([2 / scale, 2 / scale, 3 / scale, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.loadsave.save(image, tmp_path / "scan.nii")
    assert scan_of(tmp_path / "scan.nii").read().voxel_size == pytest.approx((3.0, 2.0, 2.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_values_are_those_of_nibabel_in_less_memory(tmp_path, dtype):
    stored = np.random.default_rng(0).integers(0, 200, (40, 50, 60)).astype(dtype)
    image = nibabel.nifti1.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(1.5, -1024.25)
    path = tmp_path / "scan.nii"
    nibabel.loadsave.save(image, path)
    expected = np.asarray(nibabel.loadsave.load(path).dataobj, dtype=np.float32)
    np.testing.assert_array_equal(read_nifti(path).values, expected)
    tracemalloc.start()
    file_scan(path, "one").read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.7 * expected.nbytes
