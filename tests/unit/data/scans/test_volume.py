import numpy as np
import pytest

from data.scans.volume import axial


def test_slices_are_upright_with_the_patients_right_on_the_left(head):
    volume = axial(head, np.diag([2.0, 1.5, 3.0, 1.0]))
    assert volume.values.shape == (16, 20, 24)
    assert volume.voxel_size == (3.0, 1.5, 2.0)
    middle = volume.values[8]
    assert middle[10, 4] == 900  # bone on the patient's right
    assert middle[10, 19] == 40
    assert middle[3, 12] == -100  # fat in front
    assert middle[16, 12] == 40


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_any_orientation_of_the_file_gives_the_same_slices(head, axes, flips):
    expected = axial(head, np.diag([2.0, 1.5, 3.0, 1.0]))
    affine = np.diag([2.0, 1.5, 3.0, 1.0])
    stored = head
    for axis in flips:
        stored = np.flip(stored, axis)
        affine[:3, 3] += affine[:3, axis] * (head.shape[axis] - 1)
        affine[:3, axis] *= -1
    stored = stored.transpose(axes)
    affine = affine[:, [*axes, 3]]
    found = axial(stored, affine)
    assert found.voxel_size == expected.voxel_size
    np.testing.assert_array_equal(found.values, expected.values)
