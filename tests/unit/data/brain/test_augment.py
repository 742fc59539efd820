import numpy as np
import pytest
import torch

from data.brain.augment import augmented
from data.brain.dataset import BrainSlices


@pytest.fixture
def volume():
    return np.random.default_rng(0).uniform(0, 1, (6, 16, 16)).astype(np.float32)


def seen(volume, seed):
    torch.manual_seed(seed)
    return augmented(volume, (2.0, 2.0, 2.0))


def test_what_changes_follows_from_torchs_generator_alone(volume):
    first = seen(volume, 3)
    np.random.default_rng(1).random()
    assert np.array_equal(first, seen(volume, 3))
    assert not np.array_equal(first, seen(volume, 4))


def test_one_volume_in_seven_is_left_as_it_is(volume):
    # None of the four: 0.5 · 0.75 · 0.75 · 0.5.
    same = [np.array_equal(seen(volume, seed), volume) for seed in range(150)]
    assert 0.06 < np.mean(same) < 0.24


def test_only_slices_to_train_on_are_augmented(brain_settings):
    for split, changed in (("train", True), ("validation", False), ("test", False)):
        plain = BrainSlices(brain_settings(), split)
        other = BrainSlices(brain_settings(augment="intensity"), split)
        different = False
        for seed in range(6):
            torch.manual_seed(seed)
            one = plain[0]["image"]
            torch.manual_seed(seed)
            two = other[0]["image"]
            assert one.shape == two.shape
            assert one.dtype == two.dtype
            different |= not np.array_equal(one, two)
        assert different == changed


def test_an_augmented_slice_is_of_the_place_that_would_have_been_taken_without(brain_settings):
    plain, other = (
        BrainSlices(brain_settings(**keys), "train") for keys in ({}, {"augment": "intensity"})
    )
    for seed in range(4):
        torch.manual_seed(seed)
        one = plain[1]
        torch.manual_seed(seed)
        two = other[1]
        assert np.array_equal(one["mask"], two["mask"])
        assert one["seed"] == two["seed"]
