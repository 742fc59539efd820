import numpy as np

from data.lodopab.prepare.anatomy import draw_slice
from data.physics.parallel import block_mean

SLICES = [draw_slice(3, patient, 0, 96) for patient in range(24)]


def test_slices_are_normalised_and_hold_a_body():
    for image in SLICES:
        assert image.shape == (96, 96)
        assert image.dtype == np.float32
        assert image.min() >= 0
        assert image.max() <= 1
        assert 0.1 < np.mean(image > 0.05) < 0.9
        assert image[0].max() == image[:, 0].max() == 0  # nothing is cut off by the border


def test_slices_are_all_different():
    distances = [np.abs(a - b).mean() for i, a in enumerate(SLICES) for b in SLICES[:i]]
    assert min(distances) > 0.005


def test_most_show_bone_and_some_show_lungs():
    bone = [np.mean(image > 0.35) > 0.003 for image in SLICES]
    lungs = [np.mean((image > 0.02) & (image < 0.1)) > 0.05 for image in SLICES]
    assert sum(bone) > 16
    assert 6 < sum(lungs) < 22


def test_tissue_is_not_flat():
    values = [np.unique(image[(image > 0.2) & (image < 0.3)]).size for image in SLICES]
    assert np.median(values) > 500


def test_the_same_numbers_give_the_same_slice_and_others_another():
    again = draw_slice(3, 5, 0, 96)
    np.testing.assert_array_equal(again, SLICES[5])
    for other in (draw_slice(4, 5, 0, 96), draw_slice(3, 5, 1, 96)):
        assert np.abs(other - SLICES[5]).mean() > 0.003


def test_slices_of_one_patient_are_more_alike_than_those_of_two():
    own = [np.abs(draw_slice(3, p, 1, 96) - SLICES[p]).mean() for p in range(24)]
    foreign = [np.abs(SLICES[p - 1] - SLICES[p]).mean() for p in range(24)]
    assert np.median(own) < 0.8 * np.median(foreign)


def test_a_finer_slice_shows_the_same_anatomy():
    fine = block_mean(draw_slice(3, 5, 0, 288)[None], 96)[0]
    assert np.abs(fine - SLICES[5]).mean() < 0.003
