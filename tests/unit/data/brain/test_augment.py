import numpy as np
import pytest
import torch
import torchio

from data.brain.augment import BIAS_FIELD, BLUR, GAMMA, GHOSTING, augmented_slice
from data.brain.dataset import BrainSlices


@pytest.fixture
def volume():
    return np.random.default_rng(0).uniform(0, 1, (6, 16, 16)).astype(np.float32)


def seen(volume, seed):
    torch.manual_seed(seed)
    return augmented_slice(volume, 2, (2.0, 2.0, 2.0))


@pytest.mark.parametrize("shape", [(7, 16, 20), (30, 9, 12)])
def test_a_slice_is_that_of_the_whole_volume_changed_by_torchio(shape):
    volume = np.random.default_rng(1).uniform(0, 1, shape).astype(np.float32)
    changes = torchio.Compose(
        [
            torchio.RandomGamma(p=GAMMA),
            torchio.RandomBiasField(p=BIAS_FIELD),
            torchio.RandomBlur(p=BLUR),
            torchio.RandomGhosting(p=GHOSTING),
        ]
    )
    for seed in range(60):
        torch.manual_seed(seed)
        image = torchio.ScalarImage(tensor=volume[None].copy(), affine=np.diag([3.0, 1, 2, 1]))
        whole, after = changes(image).numpy()[0], torch.rand(1)
        torch.manual_seed(seed)
        found = augmented_slice(volume, seed % shape[0], (3.0, 1.0, 2.0))
        assert found == pytest.approx(whole[seed % shape[0]], abs=5e-6)
        assert torch.rand(1) == after


def test_what_changes_follows_from_torchs_generator_alone(volume):
    first = seen(volume, 3)
    np.random.default_rng(1).random()
    assert np.array_equal(first, seen(volume, 3))
    assert not np.array_equal(first, seen(volume, 4))


def test_one_slice_in_seven_is_left_as_it_is(volume):
    # None of the four: 0.5 · 0.75 · 0.75 · 0.5.
    same = [np.array_equal(seen(volume, seed), volume[2]) for seed in range(150)]
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
