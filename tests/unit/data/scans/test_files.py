"""Volumes of other kinds than NIfTI lie where they lie as NIfTI."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from data.scans.files import file_scan, read_volume
from data.scans.find import find_scans
from protocol.errors import DataError

AFFINE = np.array([[0, -2.0, 0, 30], [1.5, 0, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])


@pytest.fixture(params=["scan.mgz", "scan.nrrd", "scan.mha", "scan.mhd"])
def pair(request, tmp_path, head):
    """The same volume in NIfTI and in another kind of file."""
    one = tmp_path / "one" / "scan.nii"
    one.parent.mkdir()
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(head, AFFINE), one)
    other = tmp_path / "other" / request.param
    other.parent.mkdir()
    if other.suffix == ".mgz":
        nibabel.loadsave.save(nibabel.freesurfer.mghformat.MGHImage(head, AFFINE), other)
    else:
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(one)), str(other))
    return one, other


def test_the_same_volume_is_read(pair):
    np.testing.assert_allclose(read_volume(pair[1]).affine, AFFINE, atol=1e-5)
    expected, found = (file_scan(path, "one").read() for path in pair)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.voxel_size == pytest.approx(expected.voxel_size)


def test_they_are_found_among_others(pair):
    found = find_scans(pair[1].parent)
    assert [scan.name for scan in found.scans] == [pair[1].name]


def test_a_damaged_one_is_told_in_a_sentence(pair):
    other = pair[1]
    other.write_bytes(other.read_bytes()[:50])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_volume(other)


def test_several_numbers_a_voxel_are_refused(tmp_path):
    path = tmp_path / "vectors.mha"
    image = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6, 3), np.float32), isVector=True)
    SimpleITK.WriteImage(image, str(path))
    with pytest.raises(DataError, match="3 numbers a voxel"):
        read_volume(path)
