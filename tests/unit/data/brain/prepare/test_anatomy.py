import numpy as np

from data.brain.prepare.anatomy import draw_brain, smooth_noise

SHAPE = (20, 48, 48)


def test_a_brain_is_in_0_to_1_and_dark_outside_its_mask():
    brain = draw_brain(0, 3, SHAPE)
    for image in brain.images.values():
        assert image.shape == brain.mask.shape == SHAPE
        assert image.dtype == np.float32
        assert image.min() == 0
        assert 0.5 < image.max() <= 1
        assert not image[~brain.mask].any()
    assert brain.voxel_size == (5, 4, 4)
    litres = brain.mask.sum() * np.prod(brain.voxel_size) / 1e6
    assert 0.8 < litres < 1.8


def test_white_matter_is_bright_in_t1_and_fluid_in_t2():
    brain = draw_brain(0, 1, (50, 96, 96))
    t1, t2 = brain.images["t1"][brain.mask], brain.images["t2"][brain.mask]
    assert np.corrcoef(t1, t2)[0, 1] < -0.5
    assert np.median(t1) > 0.6 > 0.45 > np.median(t2)


def test_the_same_subject_is_the_same_brain_and_another_is_another():
    first, again, other = (draw_brain(0, subject, SHAPE) for subject in (5, 5, 6))
    elsewhere = draw_brain(1, 5, SHAPE)
    assert np.array_equal(first.images["t2"], again.images["t2"])
    for different in (other, elsewhere):
        assert not np.array_equal(first.mask, different.mask)


def test_a_subject_keeps_its_shape_at_every_resolution():
    coarse, fine = draw_brain(0, 2, (20, 48, 48)), draw_brain(0, 2, (40, 96, 96))
    halved = fine.mask.reshape(20, 2, 48, 2, 48, 2).mean(axis=(1, 3, 5)) > 0.5
    assert np.mean(halved != coarse.mask) < 0.02


def test_noise_has_grains_of_the_size_asked_for():
    def likeness(millimetres):
        noise = smooth_noise(np.random.default_rng(0), (50, 96, 96), millimetres)
        assert abs(noise.mean()) < 1e-4
        assert abs(noise.std() - 1) < 1e-4
        return float(np.mean(noise[:, :, :-8] * noise[:, :, 8:]))  # 16 mm apart

    assert likeness(60) > 0.7 > 0.3 > likeness(10)
