"""CT volumes as NIfTI files."""

import gzip

import nibabel
import numpy as np
import pytest

from data.scans.nifti_writer import nifti_bytes

SHAPE, SIZE = (3, 4, 5), (2.5, 1.25, 0.75)


@pytest.fixture
def volume():
    return np.random.default_rng(0).uniform(-1024, 1500, SHAPE).astype(np.float32)


def loaded(content):
    return nibabel.nifti1.Nifti1Image.from_bytes(content)


@pytest.mark.parametrize(("number", "off"), [("int16", 0.5), ("float32", 0.0)])
def test_every_voxel_comes_back_where_it_is_in_the_patient(volume, number, off):
    image = loaded(nifti_bytes(volume, SIZE, number=number, compressed=False))
    values = np.asarray(image.dataobj, dtype=np.float32)
    assert image.get_data_dtype() == number
    # From right to left, front to back, head to feet, whatever the file's own order.
    to_patient = nibabel.orientations.axcodes2ornt("LPI")
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(image.affine), to_patient
    )
    upright = nibabel.orientations.apply_orientation(values, turn)
    np.testing.assert_allclose(upright.transpose(2, 1, 0), volume, atol=off)


def test_a_step_in_the_volume_is_a_step_in_the_patient(volume):
    volume[:] = 0
    volume[0, 1, 3] = 100  # of the head's slice, in front, on the patient's left
    image = loaded(nifti_bytes(volume, SIZE, compressed=False))
    (index,) = np.argwhere(np.asarray(image.dataobj) == 100)
    right, anterior, superior = nibabel.affines.apply_affine(image.affine, index)
    assert right == pytest.approx(-0.75)  # one column left of the middle
    assert anterior == pytest.approx(0.5 * 1.25)
    assert superior == pytest.approx(2.5)


def test_the_header_has_voxel_sizes_millimetres_and_both_transforms(volume):
    header = loaded(nifti_bytes(volume, SIZE, compressed=False)).header
    np.testing.assert_allclose(header.get_zooms(), (0.75, 1.25, 2.5))
    assert header.get_xyzt_units()[0] == "mm"
    (sform, s_code), (qform, q_code) = header.get_sform(True), header.get_qform(True)
    assert (s_code, q_code) == (1, 1)
    np.testing.assert_allclose(qform, sform, atol=1e-6)
    assert nibabel.orientations.aff2axcodes(sform) == ("R", "A", "S")


def test_the_middle_of_the_volume_is_at_the_origin(volume):
    affine = loaded(nifti_bytes(volume, SIZE, compressed=False)).affine
    middle = nibabel.affines.apply_affine(affine, (np.array(SHAPE[::-1]) - 1) / 2)
    np.testing.assert_allclose(middle, 0, atol=1e-6)


def test_values_beyond_16_bits_end_at_their_limits():
    image = loaded(nifti_bytes(np.full(SHAPE, 1e6, np.float32), SIZE, compressed=False))
    assert np.unique(image.dataobj) == [32767]


def test_a_compressed_volume_is_the_same_and_its_bytes_do_not_depend_on_the_time(volume):
    packed = nifti_bytes(volume, SIZE)
    assert packed == nifti_bytes(volume, SIZE)
    assert packed[4:8] == bytes(4)  # the time in gzip's header
    assert gzip.decompress(packed) == nifti_bytes(volume, SIZE, compressed=False)
