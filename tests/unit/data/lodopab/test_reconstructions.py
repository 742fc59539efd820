import os
import pickle

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from data.caches.places import user_cache
from data.lodopab.reconstructions import ReconstructedDataset, ReconstructionSettings
from protocol.errors import DataError

METHOD = {"kind": "mean", "window": "hann"}


class Mean:
    """Reconstructs a sinogram as an image of its mean, and counts."""

    def __init__(self):
        self.done = 0

    def __call__(self, sinograms, geometry):
        assert sinograms.shape[1:] == (1, geometry.angles, geometry.detectors)
        self.done += len(sinograms)
        shape = (len(sinograms), 1, geometry.image_size, geometry.image_size)
        return np.broadcast_to(sinograms.mean(axis=(1, 2, 3), keepdims=True), shape).copy()


@pytest.fixture
def mean():
    return Mean()


@pytest.fixture
def opened(lodopab, mean):
    def make(split="train", method=METHOD, **settings):
        keys = ReconstructionSettings(root=lodopab.root, **settings)
        return ReconstructedDataset(keys, split, mean, method)

    return make


def test_a_sample_is_the_reconstruction_and_the_image_of_its_index(lodopab, opened):
    lodopab.split("train", 140)
    dataset = opened()
    assert len(dataset) == 140
    for index in (0, 127, 128, 139):
        sample = dataset[index]
        assert sample.keys() == {"fbp", "image", "index"}
        assert sample["fbp"].shape == sample["image"].shape == (1, 5, 5)
        assert sample["fbp"].dtype == sample["image"].dtype == np.float32
        assert sample["index"] == index
        np.testing.assert_allclose(sample["fbp"], index % 100 / 100, atol=1e-6)
        np.testing.assert_array_equal(sample["image"], np.float32(index % 100 / 100))


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_beyond_the_split_is_an_index_error(lodopab, opened, index):
    lodopab.split("train", 3)
    with pytest.raises(IndexError):
        opened()[index]


def read_all(dataset):
    return [dataset[index] for index in range(len(dataset))]


def test_trials_of_one_filter_share_what_is_computed(lodopab, opened, mean):
    lodopab.split("train", 5)
    read_all(opened())
    read_all(opened())
    assert mean.done == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"method": METHOD | {"window": "ones"}},
        {"angle_step": 0.01},
        {"image_half_width": 0.2},
        {"train_images": 4},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_filter_scan_or_number_of_images_is_computed_anew(lodopab, opened, mean, changed):
    lodopab.split("train", 5)
    read_all(opened())
    read_all(opened(**changed))
    assert mean.done == (9 if "train_images" in changed else 10)


def test_splits_are_kept_apart(lodopab, opened):
    lodopab.split("train", 3)
    lodopab.split("validation", 2)
    assert len(read_all(opened())) == 3
    assert len(read_all(opened("validation"))) == 2
    assert len(list((lodopab.root / ".cache").glob("*/values.npy"))) == 2


def test_data_that_were_replaced_are_reconstructed_anew(lodopab, opened, mean):
    lodopab.split("train", 3)
    read_all(opened())
    (lodopab.root / "observation_train_000.hdf5").unlink()
    path = lodopab.file("observation_train_000", np.full((3, 6, 9), 0.5, np.float32))
    os.utime(path, ns=(1, 1))
    assert read_all(opened())[0]["fbp"].max() == 0.5
    assert mean.done == 6


def test_no_room_means_computed_at_each_read(lodopab, opened, mean):
    lodopab.split("train", 3)
    dataset = opened(cache_gb=0)
    read_all(dataset)
    read_all(dataset)
    assert mean.done == 6
    assert not (lodopab.root / ".cache").exists()


def test_the_cache_lies_where_it_is_asked_for(lodopab, opened, tmp_path):
    lodopab.split("train", 3)
    read_all(opened(cache_folder=tmp_path / "elsewhere"))
    assert not (lodopab.root / ".cache").exists()
    assert list((tmp_path / "elsewhere").glob("*/values.npy"))


def test_beside_data_that_may_not_be_written_to_the_users_cache_is_used(
    lodopab, opened, tmp_path, monkeypatch
):
    lodopab.split("train", 3)
    (lodopab.root / ".cache").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    read_all(opened())
    assert list(user_cache().glob("*/values.npy"))


def test_the_files_are_checked_at_the_start(lodopab, opened):
    lodopab.split("train", 3)
    lodopab.file("ground_truth_train_000", np.zeros((2, 5, 5), np.float32))
    with pytest.raises(DataError, match="3 sinograms"):
        opened()


@pytest.mark.parametrize("wrong", [{"cache_gb": -1}, {"cache_gb": float("inf")}, {"cache": "x"}])
def test_a_wrong_setting_is_refused(tmp_path, wrong):
    with pytest.raises(ValidationError):
        ReconstructionSettings(root=tmp_path, **wrong)


def test_every_key_of_the_cache_is_described():
    fields = ReconstructionSettings.model_fields
    assert all(fields[key].description for key in ("cache_folder", "cache_gb"))


def test_loader_processes_share_the_cache(lodopab, opened):
    lodopab.split("train", 20)
    read_all(opened(train_images=20))
    loader = torch.utils.data.DataLoader(
        opened(), batch_size=4, num_workers=2, multiprocessing_context="fork"
    )
    found = torch.cat([batch["fbp"].amax(dim=(1, 2, 3)) for batch in loader])
    assert found.tolist() == pytest.approx([index / 100 for index in range(20)], abs=1e-6)
    assert len(list((lodopab.root / ".cache").glob("*/values.npy"))) == 1


def test_it_may_be_pickled(lodopab, opened):
    lodopab.split("train", 3)
    dataset = opened()
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[2]["fbp"], dataset[2]["fbp"])
