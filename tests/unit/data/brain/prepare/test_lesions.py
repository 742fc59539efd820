import numpy as np
import pytest

from data.brain.prepare.anatomy import draw_brain
from data.brain.prepare.lesions import add_lesions

SHAPE = (25, 48, 48)


@pytest.fixture(scope="module")
def brain():
    return draw_brain(0, 0, SHAPE)


def with_lesions(brain, seed):
    return add_lesions(np.random.default_rng(seed), brain.images, brain.mask, brain.voxel_size)


def test_lesions_are_in_the_brain_and_never_empty_also_at_half_the_resolution(brain):
    for seed in range(30):
        _, labels = with_lesions(brain, seed)
        assert labels.dtype == bool
        assert not (labels & ~brain.mask).any()
        assert labels[::2, ::2, ::2].any()


def test_the_brain_far_from_lesions_is_untouched_and_inside_it_has_changed(brain):
    images, labels = with_lesions(brain, 4)
    for mode, image in images.items():
        before = brain.images[mode]
        assert image.dtype == np.float32
        assert image.min() >= 0
        assert not image[~brain.mask].any()
        changed = np.abs(image - before)
        assert np.mean(changed[labels]) > 0.1
        assert np.mean(changed[brain.mask & ~labels] < 1e-3) > 0.8
        assert np.median(changed[brain.mask & ~labels]) < 1e-4


def test_the_given_images_are_left_as_they_are(brain):
    before = {mode: image.copy() for mode, image in brain.images.items()}
    with_lesions(brain, 1)
    for mode, image in brain.images.items():
        assert np.array_equal(image, before[mode])


def test_most_are_bright_in_t2_and_dark_in_t1_and_some_are_not(brain):
    rises = {"t1": [], "t2": []}
    for seed in range(40):
        images, labels = with_lesions(brain, seed)
        for mode, image in images.items():
            usual = np.median(brain.images[mode][brain.mask])
            rises[mode].append(image[labels].mean() > usual)
    assert 0.6 < np.mean(rises["t2"]) < 1
    assert 0 < np.mean(rises["t1"]) < 0.4


def test_sizes_vary_widely(brain):
    sizes = [with_lesions(brain, seed)[1].sum() for seed in range(20)]
    assert max(sizes) > 5 * min(sizes)


def test_the_same_generator_gives_the_same_lesions(brain):
    first, again, other = (with_lesions(brain, seed) for seed in (2, 2, 3))
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(first[0]["t2"], again[0]["t2"])
    assert not np.array_equal(first[1], other[1])


def test_intensities_of_any_scale_do(brain):
    plain, labels = with_lesions(brain, 2)
    scaled, again = add_lesions(
        np.random.default_rng(2),
        {"t1": brain.images["t1"] * 1000, "t2": brain.images["t2"] * 1000},
        brain.mask,
        brain.voxel_size,
    )
    assert np.array_equal(labels, again)
    assert np.allclose(scaled["t2"], 1000 * plain["t2"], atol=0.5)


def test_larger_radii_make_larger_lesions(brain):
    def voxels(radii):
        rng = np.random.default_rng(3)
        _, labels = add_lesions(rng, brain.images, brain.mask, brain.voxel_size, radii)
        return int(labels.sum())

    assert voxels((30.0, 30.0)) > 3 * voxels((15.0, 15.0))
