"""What every family promises of its data sets."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from tests.contracts.bench import SEED
from worker.ranks.loading import SeededDataset
from worker.ranks.trial import open_split

SPLITS = ("train", "validation", "test")
MOST = 40  # samples of a split that are looked at


@pytest.fixture
def splits(bench):
    return {split: SeededDataset(open_split(bench.family, split), SEED) for split in SPLITS}


def test_the_same_sample_of_the_same_epoch_is_the_same(splits):
    for samples in splits.values():
        first, between, again = samples[1, 0], samples[1, 1], samples[1, 0]
        assert _digest(first) == _digest(again) != _digest(between)


def test_validation_and_test_samples_are_the_same_in_every_epoch(splits):
    for split in ("validation", "test"):
        assert _digest(splits[split][0, 1]) == _digest(splits[split][7, 1])


def test_samples_are_finite_arrays_and_images_single_precision(splits):
    for samples in splits.values():
        for name, value in samples[0, 0].items():
            array = np.asarray(value)
            assert np.isfinite(array).all(), name
            if array.ndim >= 2:
                assert array.dtype == np.float32, name


def test_all_samples_have_the_keys_and_shapes_of_the_first(splits):
    first = _shapes(splits["train"][0, 0])
    for samples in splits.values():
        last = len(samples.dataset) - 1
        assert _shapes(samples[0, 0]) == _shapes(samples[0, last]) == first


def test_no_two_splits_share_a_sample(splits):
    seen = {
        split: {_digest(samples[0, index]) for index in range(min(MOST, len(samples.dataset)))}
        for split, samples in splits.items()
    }
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]


def test_a_seed_of_a_samples_own_differs_from_its_neighbours(splits):
    for samples in splits.values():
        if "seed" in samples[0, 0]:
            seeds = {int(samples[0, index]["seed"]) for index in range(2)}
            assert len(seeds) == 2


def test_training_draws_on_the_global_generator_alone(splits):
    """So that an epoch's sample does not depend on which process reads it, nor when."""
    samples = splits["train"]
    fresh = _digest(samples[3, 1])
    torch.manual_seed(99)
    for index in range(2):
        samples.dataset[index]
    assert _digest(samples[3, 1]) == fresh


def _digest(sample: dict) -> str:
    """Of everything but what names the sample."""
    digest = hashlib.sha256()
    for name in sorted(sample):
        if name not in ("index", "seed"):
            digest.update(name.encode() + np.ascontiguousarray(sample[name]).tobytes())
    return digest.hexdigest()


def _shapes(sample: dict) -> dict[str, tuple[int, ...]]:
    return {name: np.asarray(value).shape for name, value in sample.items()}
