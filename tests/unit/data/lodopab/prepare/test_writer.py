import h5py
import numpy as np
import pytest

from data.geometry import ParallelGeometry
from data.lodopab.dataset import LodopabDataset, LodopabSettings
from data.lodopab.patients import read_patients
from data.lodopab.prepare.writer import LodopabWriter

GEOMETRY = ParallelGeometry.lodopab(angles=4, detectors=7, image_size=5)


def filled(value):
    return np.full((4, 7), value, np.float32), np.full((5, 5), value, np.float32)


def test_images_written_in_any_order_are_read_back_in_theirs(tmp_path):
    writer = LodopabWriter(tmp_path, "train", count=131, geometry=GEOMETRY)
    for index in np.random.default_rng(0).permutation(131):
        writer.write(int(index), *filled(index / 200), f"p{index % 3}")
    writer.finish()
    dataset = LodopabDataset(LodopabSettings(root=tmp_path), "train")
    assert len(dataset) == 131
    assert read_patients(tmp_path, "train")[:4] == ("p0", "p1", "p2", "p0")
    for index in range(131):
        assert dataset[index]["image"][0, 0, 0] == np.float32(index / 200)
        assert dataset[index]["sinogram"][0, 3, 6] == np.float32(index / 200)


def test_the_files_are_the_published_ones(tmp_path):
    writer = LodopabWriter(tmp_path, "test", count=130, geometry=GEOMETRY)
    for index in range(130):
        writer.write(index, *filled(0.5), "1")
    writer.finish()
    shapes = {}
    for path in tmp_path.glob("*.hdf5"):
        with h5py.File(path) as file:
            assert list(file) == ["data"]
            assert file["data"].dtype == np.float32
            shapes[path.name] = file["data"].shape
    assert shapes == {
        "observation_test_000.hdf5": (128, 4, 7),
        "observation_test_001.hdf5": (2, 4, 7),
        "ground_truth_test_000.hdf5": (128, 5, 5),
        "ground_truth_test_001.hdf5": (2, 5, 5),
    }
    assert (tmp_path / "patient_ids_rand_test.csv").read_text() == "1\n" * 130


def test_a_forgotten_image_is_an_error(tmp_path):
    writer = LodopabWriter(tmp_path, "train", count=3, geometry=GEOMETRY)
    writer.write(0, *filled(0), "1")
    writer.write(2, *filled(0), "1")
    with pytest.raises(RuntimeError, match="image 1 of the train split"):
        writer.finish()
