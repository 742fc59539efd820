import os
import re

import numpy as np
import pytest

from data.lodopab.layout import check_split, file_name, patients_name
from protocol.errors import DataError


def refused(root, *words):
    """Checking the training split raises one sentence with all of these words."""
    with pytest.raises(DataError) as caught:
        check_split(root, "train")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert re.search(word, message), f"{word!r} not in {message!r}"


def test_names_are_the_published_ones():
    assert file_name("observation", "validation", 7) == "observation_validation_007.hdf5"
    assert file_name("ground_truth", "train", 279) == "ground_truth_train_279.hdf5"
    assert patients_name("test") == "patient_ids_rand_test.csv"


def test_a_sound_split_is_counted_and_measured_over_all_files(lodopab):
    lodopab.split("train", 300)
    found = check_split(lodopab.root, "train")
    assert found.count == 300
    assert found.sinogram_shape == (6, 9)
    assert found.image_shape == (5, 5)
    assert [path.name for path in found.images] == [
        f"ground_truth_train_00{number}.hdf5" for number in range(3)
    ]


def test_a_missing_folder_is_named_with_a_way_to_make_it(tmp_path):
    refused(tmp_path / "nowhere", "no folder .*nowhere", "prepare lodopab")


def test_an_empty_folder_is_said_to_be_empty(lodopab):
    refused(lodopab.root, "observation_train_000.hdf5", "empty")


def test_a_folder_of_other_files_says_what_is_there(lodopab):
    (lodopab.root / "notes.txt").write_text("")
    refused(lodopab.root, "observation_train_000.hdf5", "notes.txt")


def test_zip_files_are_to_be_unpacked(lodopab):
    (lodopab.root / "observation_train.zip").write_text("")
    refused(lodopab.root, "unpack")


def test_a_missing_split_is_named_though_others_are_there(lodopab):
    lodopab.split("test", 3)
    refused(lodopab.root, "no train images")


def test_a_gap_in_the_numbers_is_named(lodopab):
    lodopab.split("train", 300)
    (lodopab.root / "observation_train_001.hdf5").unlink()
    refused(lodopab.root, "observation_train_001.hdf5 is missing")


def test_a_missing_last_partner_is_named(lodopab):
    lodopab.split("train", 300)
    (lodopab.root / "ground_truth_train_002.hdf5").unlink()
    refused(lodopab.root, "ground_truth_train_002.hdf5 is missing", "3 observation and 2 ground")


@pytest.mark.parametrize("stem", ["observation_train_001", "ground_truth_train_000"])
def test_a_truncated_file_is_named(lodopab, stem):
    lodopab.split("train", 300)
    path = lodopab.root / f"{stem}.hdf5"
    os.truncate(path, path.stat().st_size - 100)
    refused(lodopab.root, f"{stem}.hdf5 is truncated", str(path.stat().st_size))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 400])
def test_a_file_that_is_not_hdf5_is_named(lodopab, content):
    lodopab.split("train", 3)
    (lodopab.root / "ground_truth_train_000.hdf5").write_bytes(content)
    refused(lodopab.root, "ground_truth_train_000.hdf5 (is|cannot)", "again")


def test_a_foreign_hdf5_file_says_what_it_holds(lodopab):
    lodopab.split("train", 3)
    lodopab.file("ground_truth_train_000", np.zeros((3, 5, 5), np.float32), dataset="volume")
    refused(lodopab.root, "ground_truth_train_000.hdf5 has no dataset named 'data'", "'volume'")


def test_a_wrong_number_type_is_named(lodopab):
    lodopab.split("train", 3)
    lodopab.file("observation_train_000", np.zeros((3, 6, 9), np.int16))
    refused(lodopab.root, "observation_train_000", "int16", "float32")


def test_a_dataset_that_is_not_a_stack_of_images_is_refused(lodopab):
    lodopab.split("train", 3)
    lodopab.file("observation_train_000", np.zeros((3, 54), np.float32))
    refused(lodopab.root, "3×54", "images×rows×columns")


def test_files_of_different_shapes_are_refused(lodopab):
    lodopab.split("train", 200)
    lodopab.file("ground_truth_train_001", np.zeros((72, 4, 4), np.float32))
    refused(lodopab.root, "ground_truth_train_001.hdf5 holds images of 4×4", "5×5")


def test_sinograms_and_images_must_match_in_number(lodopab):
    lodopab.split("train", 3)
    lodopab.file("ground_truth_train_000", np.zeros((4, 5, 5), np.float32))
    refused(lodopab.root, "3 sinograms", "4 images")


def test_only_the_last_file_may_be_short(lodopab):
    lodopab.split("train", 200)
    lodopab.file("observation_train_000", np.zeros((100, 6, 9), np.float32))
    refused(lodopab.root, "observation_train_000.hdf5 holds 100 images, expected 128")


@pytest.mark.parametrize("count", [0, 129])
def test_the_last_file_holds_one_to_128_images(lodopab, count):
    lodopab.split("train", 3)
    lodopab.file("observation_train_000", np.zeros((count, 6, 9), np.float32))
    refused(lodopab.root, f"holds {count} images, expected 1 to 128")


def test_images_must_be_square(lodopab):
    lodopab.split("train", 3)
    lodopab.file("ground_truth_train_000", np.zeros((3, 5, 6), np.float32))
    refused(lodopab.root, "5×6", "square")
