import pytest

from data.lodopab.patients import check_patients
from protocol.errors import DataError


def test_without_csv_files_nothing_is_known(lodopab):
    assert check_patients(lodopab.root, "train", 3) is None


@pytest.mark.parametrize(("images", "told"), [(256, True), (200, False)])
def test_without_them_files_that_are_all_full_may_lack_the_last(lodopab, caplog, images, told):
    check_patients(lodopab.root, "train", images)
    assert ("all 2 files of train are full" in caplog.text) is told


def test_patients_come_in_the_images_order(lodopab):
    lodopab.patients("train", ["7", "LIDC-0003", "7"])
    assert check_patients(lodopab.root, "train", 3) == ("7", "LIDC-0003", "7")


def test_the_number_of_lines_must_be_that_of_images(lodopab):
    lodopab.patients("train", ["1", "2"])
    with pytest.raises(DataError, match=r"patient_ids_rand_train.csv names 2 patients.* 3 train"):
        check_patients(lodopab.root, "train", 3)


@pytest.mark.parametrize("other", ["validation", "test"])
def test_patients_in_two_splits_are_refused_by_name(lodopab, other):
    lodopab.patients("train", ["1", "2", "3"])
    lodopab.patients(other, ["4", "3", "2"])
    with pytest.raises(
        DataError, match=rf"2 patients are both in .*train.csv and in .*{other}.csv \(2, 3\)"
    ):
        check_patients(lodopab.root, "train", 3)


def test_a_file_that_is_not_text_is_named(lodopab):
    (lodopab.root / "patient_ids_rand_test.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(
        DataError, match=r"patient_ids_rand_test.csv is .*, or not a text of one patient id a line"
    ):
        check_patients(lodopab.root, "test", 1)


def test_a_list_that_a_spreadsheet_saved_is_read(lodopab):
    path = lodopab.root / "patient_ids_rand_train.csv"
    path.write_bytes("\ufeff7;\r\n8;\r\n".encode())
    assert check_patients(lodopab.root, "train", 2) == ("7", "8")
    lodopab.patients("test", ["7"])
    with pytest.raises(
        DataError, match=r"1 patient is both in .*train.csv and in .*test.csv \(7\)"
    ):
        check_patients(lodopab.root, "train", 2)
