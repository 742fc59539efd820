import pytest

from data.brain.layout import count_folds, data_folder, lesion_sets, subject_of
from protocol.errors import DataError


def with_lists(root, *names):
    """A data set with csv files of these names; what they list is not looked at here."""
    (root / "Data" / "splits").mkdir(parents=True)
    for name in names:
        (root / "Data" / "splits" / name).touch()
    return root


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("IXI002-Guys-0828_t2.nii.gz", "IXI002-Guys-0828"),
        ("BraTS2021_00538_mask.nii.gz", "BraTS2021_00538"),
        ("patient_T1.nii", "patient"),
        ("plain", "plain"),
    ],
)
def test_a_subject_is_the_name_without_contrast_and_suffix(name, subject):
    assert subject_of(name) == subject


def test_folds_are_counted_up_to_the_first_gap(tmp_path):
    names = [f"IXI_{split}_fold{fold}.csv" for fold in (0, 1, 3) for split in ("train", "val")]
    assert count_folds(with_lists(tmp_path, *names, "IXI_train_fold2.csv")) == 2


def test_all_sets_with_lesions_are_found_or_those_that_are_wanted(tmp_path):
    root = with_lists(tmp_path, "IXI_test.csv", "Brats21_test.csv", "MSLUB_test.csv")
    assert lesion_sets(root, None) == ("Brats21", "MSLUB")
    assert lesion_sets(root, ["MSLUB"]) == ("MSLUB",)
    assert lesion_sets(root, []) == ()
    with pytest.raises(DataError, match=r"data\.lesions: .*ATLAS_test\.csv.*Brats21, MSLUB"):
        lesion_sets(root, ["ATLAS"])


def test_a_root_without_data_says_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"no folder Data/splits, expected .*prepare brain"):
        data_folder(tmp_path)
