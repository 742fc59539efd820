"""Coarse volumes beside true ones: which belong together, and how often they are computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.xray_ct.coarse import CoarseAndFine, Coarsening, averaged
from data.xray_ct.dataset import XrayCtVolumes, mirrored
from data.xray_ct.settings import XrayCtPhantomSettings, XrayCtSettings


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return XrayCtSettings(
        root=tmp_path_factory.mktemp("pairs") / "chests",
        ct_size=16,
        xray_size=16,
        flip=True,
        cache_folder=tmp_path_factory.mktemp("cache"),
        generate=XrayCtPhantomSettings(size=16, xray_size=16, train=3, validation=2, test=1),
    )


class Counting:
    """Gives the front view's upper left 4² pixels at every depth, and counts."""

    def __init__(self):
        self.calls = 0

    def __call__(self, xrays):
        self.calls += len(xrays)
        return np.repeat(xrays[:, :1, None, :4, :4], 4, axis=2)


def pairs(settings, split="train", *, method="a"):
    counting = Counting()
    return CoarseAndFine(
        settings, split, Coarsening(compute=counting, method={"method": method})
    ), counting


def drawn(dataset, index, seed):
    torch.manual_seed(seed)
    return dataset[index]


def test_a_mirrored_volume_has_the_coarse_one_of_its_mirrored_xrays(settings):
    dataset, _ = pairs(settings)
    plain = XrayCtVolumes(settings.model_copy(update={"flip": False}), "train")
    seen = set()
    for seed in range(12):
        sample = drawn(dataset, 1, seed)
        volumes = [plain[1]["ct"], mirrored(plain[1]["xrays"], plain[1]["ct"])[1]]
        views = [plain[1]["xrays"], mirrored(plain[1]["xrays"], plain[1]["ct"])[0]]
        flip = bool(np.array_equal(sample["ct"], volumes[1]))
        np.testing.assert_array_equal(sample["ct"], volumes[flip])
        np.testing.assert_array_equal(sample["coarse"], Counting()(views[flip][None])[0])
        seen.add(flip)
    assert seen == {False, True}


def test_held_out_samples_are_never_mirrored(settings):
    dataset, _ = pairs(settings, "validation")
    for seed in range(6):
        sample = drawn(dataset, 0, seed)
        np.testing.assert_array_equal(sample["ct"], XrayCtVolumes(settings, "validation")[0]["ct"])
        assert sample["seed"] == dataset[0]["seed"]


def test_each_is_computed_once_for_everybody_with_the_same_method(settings):
    first, counting = pairs(settings, method="once")
    again, second = pairs(settings, method="once")
    for seed in range(8):
        for index in range(len(first)):
            drawn(first, index, seed)
            drawn(again, index, seed)
    assert counting.calls == 2 * len(first)
    assert second.calls == 0
    other, third = pairs(settings, method="another")
    drawn(other, 0, 0)
    assert third.calls > 0


def test_a_sample_is_the_same_whether_or_not_its_coarse_volume_was_kept(settings):
    dataset, counting = pairs(settings, method="fresh")
    first = drawn(dataset, 0, 3)
    calls = counting.calls
    second = drawn(dataset, 0, 3)
    assert calls > 0
    assert counting.calls == calls
    assert first.keys() == {"coarse", "ct", "index", "seed"}
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_without_a_method_coarse_volumes_are_the_means_of_true_ones(settings):
    dataset = CoarseAndFine(settings, "train", None)
    for seed in range(4):
        sample = drawn(dataset, 0, seed)
        pooled = torch.nn.functional.avg_pool3d(torch.from_numpy(sample["ct"])[None], 4)[0]
        np.testing.assert_allclose(sample["coarse"], pooled.numpy(), atol=1e-6)
        assert sample["coarse"].dtype == np.float32


def test_averaging_keeps_axes_apart():
    volume = np.zeros((1, 8, 4, 12), np.float32)
    volume[0, 4:, :, 8:] = 1
    means = averaged(volume)
    assert means.shape == (1, 2, 1, 3)
    assert means[0, :, 0].tolist() == [[0, 0, 0], [0, 0, 1]]


def test_it_knows_the_cases_as_the_volumes_do(settings):
    dataset, _ = pairs(settings)
    volumes = XrayCtVolumes(settings, "train")
    assert len(dataset) == len(volumes)
    assert [dataset.name(i) for i in range(3)] == [volumes.name(i) for i in range(3)]
    assert dataset.voxel_size(0) == volumes.voxel_size(0)
