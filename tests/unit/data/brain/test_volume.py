import nibabel
import numpy as np
import pytest

from data.brain.volume import read_upright, write_upright


@pytest.fixture
def lopsided():
    """(Z, H, W) = (6, 5, 4): bright below, in front and on the right."""
    values = np.zeros((6, 5, 4), dtype=np.float32)
    values[0, :, :] += 1
    values[:, 0, :] += 2
    values[:, :, 0] += 4
    return values


def test_what_is_written_is_read_back(tmp_path, lopsided):
    write_upright(tmp_path / "a.nii.gz", lopsided, (3.0, 2.0, 1.5))
    found = read_upright(tmp_path / "a.nii.gz")
    assert found.voxel_size == pytest.approx((3.0, 2.0, 1.5))
    assert np.allclose(found.values, lopsided, atol=7 / 65000)


def test_files_are_canonical_with_axes_to_right_anterior_superior(tmp_path, lopsided):
    write_upright(tmp_path / "a.nii.gz", lopsided, (3.0, 2.0, 1.5))
    image = nibabel.loadsave.load(tmp_path / "a.nii.gz")
    assert nibabel.orientations.aff2axcodes(image.affine) == ("R", "A", "S")
    values = image.get_fdata()
    assert values.shape == (4, 5, 6)
    assert values[-1].min() > 3.9  # the right
    assert values[:, -1].min() > 1.9  # the front
    assert values[:, :, 0].min() > 0.9  # below


@pytest.mark.parametrize("axes", ["LPI", "PIR", "SAL", "ILA"])
def test_a_file_of_any_orientation_comes_upright(tmp_path, lopsided, axes):
    write_upright(tmp_path / "a.nii.gz", lopsided, (3.0, 2.0, 1.5))
    canonical = nibabel.loadsave.load(tmp_path / "a.nii.gz")
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(canonical.affine),
        nibabel.orientations.axcodes2ornt(axes),
    )
    nibabel.loadsave.save(canonical.as_reoriented(turn), tmp_path / "b.nii.gz")
    found = read_upright(tmp_path / "b.nii.gz")
    assert found.voxel_size == pytest.approx((3.0, 2.0, 1.5))
    assert np.allclose(found.values, lopsided, atol=7 / 65000)


def test_labels_stay_exact(tmp_path):
    labels = np.random.default_rng(0).random((3, 4, 5)) > 0.5
    write_upright(tmp_path / "a.nii.gz", labels, (1.0, 1.0, 1.0))
    assert np.array_equal(read_upright(tmp_path / "a.nii.gz").values, labels)
