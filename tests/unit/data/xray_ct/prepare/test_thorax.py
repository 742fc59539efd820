import numpy as np
import pytest

from data.physics.radiograph import radiographs
from data.xray_ct.prepare.thorax import draw_thorax


def test_the_same_patient_is_the_same_and_another_is_another():
    first, again, other, seed = (
        draw_thorax(*one, 16).hu for one in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    np.testing.assert_array_equal(first, again)
    for different in (other, seed):
        assert np.abs(first - different).mean() > 30


def test_a_patient_looks_the_same_at_every_size():
    fine = draw_thorax(0, 3, 48).hu
    coarse = draw_thorax(0, 3, 16).hu
    means = fine.reshape(16, 3, 16, 3, 16, 3).mean(axis=(1, 3, 5))
    assert np.corrcoef(means.ravel(), coarse.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("patient", range(4))
def test_a_chest_has_air_around_it_lungs_a_heart_on_the_left_and_a_spine_behind(patient):
    chest = draw_thorax(0, patient, 48)
    hu = chest.hu
    assert chest.voxel_size == (7.5, 7.5, 7.5)
    assert hu.dtype == np.float32
    assert -1024 <= hu.min() < -900 < 400 < hu.max() <= 3071
    assert hu[:, :2].max() < -700  # in front
    assert hu[24, 24, [0, -1]].max() < -700
    lungs = (hu > -950) & (hu < -700)
    right, left = lungs[..., :24].sum(), lungs[..., 24:].sum()
    assert min(right, left) > 1000
    assert right > left  # where the heart is
    bone = np.argwhere(hu > 250)
    middle = bone[np.abs(bone[:, 2] - 24) < 4]
    assert middle[:, 1].mean() > 24


def test_two_views_tell_patients_apart_as_their_volumes_do():
    """What a network could learn: alike X-rays go with alike volumes."""
    chests = [draw_thorax(5, patient, 16) for patient in range(14)]
    volumes = np.stack([chest.hu.ravel() for chest in chests])
    views = np.stack([radiographs(c.hu, c.voxel_size, 16).ravel() for c in chests])
    pairs = np.triu_indices(len(chests), 1)
    far = [np.linalg.norm(x[pairs[0]] - x[pairs[1]], axis=1) for x in (volumes, views)]
    assert np.corrcoef(*far)[0, 1] > 0.6
    spread = np.abs(volumes - volumes.mean(axis=0)).mean()
    assert spread > 60  # HU that guessing the mean volume is wrong by
