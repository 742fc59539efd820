import numpy as np
import pytest

from data.scans.labels import label_count


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(100, 30, (30, 30, 30)).astype(np.float32)


def test_few_whole_numbers_are_labels(noise):
    labels = np.digitize(noise, [70, 100, 130]).astype(np.float32)
    assert label_count(labels) == 4
    assert label_count(labels * 500) == 4


@pytest.mark.parametrize(
    "change",
    [np.rint, lambda x: np.digitize(x, [100]) + 0.5, lambda x: -np.digitize(x, [90, 110])],
    ids=["many", "no whole ones", "negative"],
)
def test_others_are_none(noise, change):
    assert label_count(change(noise).astype(np.float32)) is None


def test_one_voxel_that_is_none_is_found_among_many(noise):
    labels = np.zeros((50, 50, 50), np.float32)
    labels[31, 7, 23] = 0.5
    assert label_count(labels) is None
