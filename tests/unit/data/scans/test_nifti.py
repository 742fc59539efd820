import os

import nibabel
import numpy as np
import pytest

from data.scans.nifti import nifti_scan
from data.scans.volume import axial
from protocol.errors import DataError


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_is_read_in_its_own_units(tmp_path, nifti, head, name):
    scan = nifti_scan(nifti(tmp_path / name, head))
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
    found = nifti_scan(tmp_path / "scan.nii").read().values
    np.testing.assert_allclose(np.sort(found.ravel()), np.sort((stored * 2.0 - 5).ravel()))


def test_a_single_time_point_is_a_volume_and_several_are_refused(tmp_path, nifti, head):
    one = nifti_scan(nifti(tmp_path / "one.nii", head[..., None])).read()
    assert one.values.shape == (16, 20, 24)
    several = nifti_scan(nifti(tmp_path / "two.nii", np.stack([head, head], -1)))
    with pytest.raises(DataError, match=r"two.nii has 4 axes \(24, 20, 16, 2\)"):
        several.read()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_named(tmp_path, nifti, head, name, kept):
    noisy = head + np.random.default_rng(0).normal(size=head.shape).astype(np.float32)
    path = nifti(tmp_path / name, noisy)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(DataError, match=rf"{name} is (truncated|not a NIfTI)") as caught:
        nifti_scan(path).read()
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
        nifti_scan(path).read()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_that_only_has_the_name_is_refused(tmp_path, name):
    (tmp_path / name).write_text("<html>" * 1000)
    with pytest.raises(DataError, match=name):
        nifti_scan(tmp_path / name).read()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no file .*gone.nii"):
        nifti_scan(tmp_path / "gone.nii").read()


def test_colours_are_refused(tmp_path):
    colours = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(colours, np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(DataError, match=r"c.nii holds .* voxels"):
        nifti_scan(tmp_path / "c.nii").read()
