import math
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from data.lodopab.dataset import LodopabDataset, LodopabSettings
from protocol.errors import DataError

TINY = {"image_size": 16, "angles": 8, "train": 9, "validation": 2, "test": 2}


def opened(folder, split="train", **settings):
    return LodopabDataset(LodopabSettings(root=folder.root, **settings), split)


def test_a_sample_has_a_channel_axis_and_belongs_to_its_index(lodopab):
    lodopab.split("train", 300)
    dataset = opened(lodopab)
    assert len(dataset) == 300
    for index in (0, 127, 128, 255, 256, 299):
        sample = dataset[index]
        assert sample["sinogram"].shape == (1, 6, 9)
        assert sample["image"].shape == (1, 5, 5)
        assert sample["sinogram"].dtype == sample["image"].dtype == np.float32
        assert sample["index"] == index
        assert (sample["image"] == np.float32(index % 100 / 100)).all()
        assert (sample["sinogram"] == np.float32(index % 100 / 100)).all()


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_beyond_the_split_is_an_index_error(lodopab, index):
    lodopab.split("train", 3)
    with pytest.raises(IndexError):
        opened(lodopab)[index]


def test_a_split_can_be_cut_to_its_first_images(lodopab):
    lodopab.split("train", 200)
    lodopab.split("validation", 5)
    lodopab.patients("train", [str(i) for i in range(200)])
    cut = opened(lodopab, train_images=130)
    assert len(cut) == 130
    with pytest.raises(IndexError):
        cut[130]
    assert len(opened(lodopab, "validation", train_images=130)) == 5
    assert len(opened(lodopab, "validation", validation_images=50)) == 5


def test_the_geometry_is_the_published_one_at_the_files_sampling(lodopab):
    lodopab.split("test", 2)
    geometry = opened(lodopab, "test").geometry
    assert (geometry.angles, geometry.detectors, geometry.image_size) == (6, 9, 5)
    assert geometry.angle_values == pytest.approx([(k + 0.5) * math.pi / 6 for k in range(6)])
    assert geometry.image_half_width == 0.13
    assert geometry.detector_half_width == pytest.approx(0.1838, abs=1e-4)


def test_the_geometry_can_be_overridden(lodopab):
    lodopab.split("test", 2)
    geometry = opened(
        lodopab, "test", image_half_width=0.2, detector_half_width=0.3, first_angle=0, angle_step=1
    ).geometry
    assert geometry.angle_values.tolist() == [0, 1, 2, 3, 4, 5]
    assert (geometry.image_half_width, geometry.detector_half_width) == (0.2, 0.3)


@pytest.mark.parametrize(
    "settings",
    [{"train_images": 0}, {"image_half_width": 0}, {"angle_step": math.nan}, {"rooot": "x"}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        LodopabSettings(root="x", **settings)


def test_opening_checks_every_file_of_the_split_before_any_is_read(lodopab):
    lodopab.split("train", 300)
    path = lodopab.root / "observation_train_002.hdf5"
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(DataError, match=r"observation_train_002.hdf5 is truncated"):
        opened(lodopab)


def test_opening_refuses_patients_shared_between_splits(lodopab):
    lodopab.split("train", 2)
    lodopab.patients("train", ["1", "2"])
    lodopab.patients("test", ["2"])
    with pytest.raises(DataError, match=r"in .*train.csv and in .*test.csv \(2\)"):
        opened(lodopab)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_value_is_found_when_it_is_read(lodopab, bad):
    lodopab.split("train", 3)
    with h5py.File(lodopab.root / "observation_train_000.hdf5", "r+") as file:
        file["data"][1, 2, 3] = bad
    dataset = opened(lodopab)
    dataset[0]
    with pytest.raises(DataError, match=r"observation_train_000.hdf5: image 1 has NaN"):
        dataset[1]


def test_an_image_that_is_not_normalised_is_refused(lodopab):
    lodopab.split("train", 3)
    lodopab.file("ground_truth_train_000", np.full((3, 5, 5), 40.0, np.float32))
    with pytest.raises(DataError, match=r"values from 40 to 40, expected 0 to 1"):
        opened(lodopab)[0]


def test_a_file_that_vanishes_later_is_named(lodopab):
    lodopab.split("train", 3)
    dataset = opened(lodopab)
    (lodopab.root / "observation_train_000.hdf5").unlink()
    with pytest.raises(
        DataError, match=r"observation_train_000.hdf5; image 0 was there at the start"
    ):
        dataset[0]


def _sum_of(dataset, queue):
    queue.put(sum(float(dataset[i]["image"].mean()) for i in range(len(dataset))))


def test_forked_processes_read_the_same_images(lodopab):
    lodopab.split("train", 130)
    dataset = opened(lodopab)
    expected = sum(float(dataset[i]["image"].mean()) for i in range(130))
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    children = [fork.Process(target=_sum_of, args=(dataset, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=30) for _ in children] == [pytest.approx(expected)] * 2
    for child in children:
        child.join(30)


def test_a_pickled_data_set_reads_on(lodopab):
    lodopab.split("train", 3)
    dataset = opened(lodopab)
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[2]["image"], dataset[2]["image"])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_reading_many_files_keeps_few_open(lodopab):
    lodopab.split("train", 128 * 7)
    dataset = opened(lodopab)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for index in range(0, len(dataset), 64):
        dataset[index]
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 8


def test_a_missing_set_is_generated_first(tmp_path):
    settings = LodopabSettings(root=tmp_path / "new", generate=TINY)
    dataset = LodopabDataset(settings, "train")
    assert len(dataset) == 9
    assert dataset[0]["image"].shape == (1, 16, 16)
    assert dataset[8]["image"].max() > 0.1
    assert len(LodopabDataset(settings, "validation")) == 2


def test_a_set_that_is_there_is_used_even_if_one_could_be_generated(lodopab):
    for split in ("train", "validation", "test"):
        lodopab.split(split, 3)
    assert opened(lodopab, generate=TINY).geometry.image_size == 5


def test_importing_the_reader_loads_nothing_heavy():
    heavy = "torch numba scipy skimage nibabel pydicom typer rich optuna matplotlib filelock"
    code = f"import sys, data.lodopab; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_split_of_another_scan_is_refused_when_it_is_opened(lodopab):
    for split in ("train", "validation", "test"):
        lodopab.split(split, 3)
    lodopab.file("observation_validation_000", np.zeros((3, 4, 9), np.float32))
    with pytest.raises(DataError, match=r"observation_validation_000\.hdf5 holds arrays of 4×9"):
        LodopabDataset(LodopabSettings(root=lodopab.root), "train")


def test_sinograms_that_lie_on_their_side_are_refused_and_foreign_units_named(tmp_path, caplog):
    root = tmp_path / "made"
    settings = LodopabSettings(
        root=root, generate={"train": 2, "validation": 1, "test": 1, "image_size": 24}
    )
    LodopabDataset(settings, "train")
    assert "sum up to" not in caplog.text
    for split in ("train", "validation", "test"):
        path = root / f"observation_{split}_000.hdf5"
        with h5py.File(path, "r+") as file:
            stored = file["data"][()]
            file["data"][...] = 3 * stored
    LodopabDataset(settings, "train")
    assert "sum up to" in caplog.text
    for split in ("train", "validation", "test"):
        with h5py.File(root / f"observation_{split}_000.hdf5", "r+") as file:
            stored = file["data"][()] / 3
            del file["data"]
            file["data"] = np.ascontiguousarray(stored.swapaxes(1, 2))
    with pytest.raises(DataError, match="transpose it"):
        LodopabDataset(settings, "train")


def test_images_of_nothing_but_air_are_named(lodopab, caplog):
    for split in ("train", "validation", "test"):
        lodopab.split(split, 3)
    LodopabDataset(LodopabSettings(root=lodopab.root), "train")
    assert "the first 3 images show nothing but air" in caplog.text
