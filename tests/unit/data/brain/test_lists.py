import csv

import pytest

from data.brain.lists import healthy_cases, lesion_cases
from protocol.errors import DataError


@pytest.fixture
def layout(tmp_path):
    """Writes csv files as the published ones are; the volumes themselves are not looked at."""

    class Layout:
        root = tmp_path

        def rows(
            self, name, rows, header=("", "img_name", "age", "label", "img_path", "mask_path")
        ):
            path = self.root / "Data" / "splits" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as stream:
                csv.writer(stream).writerows([header, *rows])
            return path

        def healthy(self, name, subjects):
            return self.rows(
                name,
                [
                    (
                        number,
                        f"{subject}_t1.nii.gz",
                        "35.8",
                        "0",
                        f"/Train/ixi/t1/{subject}_t1.nii.gz",
                        f"/Train/ixi/mask/{subject}_mask.nii.gz",
                    )
                    for number, subject in enumerate(subjects)
                ],
            )

    return Layout()


LESION_HEADER = ("", "img_name", "age", "label", "img_path", "mask_path", "seg_path")


def lesion_row(subject, dataset="Brats21"):
    folder = f"/Test/{dataset}"
    return (
        0,
        f"{subject}_t2.nii.gz",
        "",
        "1",
        f"{folder}/t2/{subject}_t2.nii.gz",
        f"{folder}/mask/{subject}_mask.nii.gz",
        f"{folder}/seg/{subject}_seg.nii.gz",
    )


@pytest.mark.parametrize("mode", ["t1", "t2"])
def test_paths_of_either_contrast_lead_to_the_wanted_one(layout, mode):
    layout.healthy("IXI_train_fold0.csv", ["IXI002-Guys-0828"])
    (case,) = healthy_cases(layout.root, "train", 0, mode)
    assert case.image == layout.root / f"Data/Train/ixi/{mode}/IXI002-Guys-0828_{mode}.nii.gz"
    assert case.mask == layout.root / "Data/Train/ixi/mask/IXI002-Guys-0828_mask.nii.gz"
    assert (case.subject, case.dataset, case.segmentation) == ("IXI002-Guys-0828", "IXI", None)
    layout.rows("Brats21_test.csv", [lesion_row("BraTS2021_00538")], LESION_HEADER)
    (case,) = lesion_cases(layout.root, "Brats21", "test", mode)
    folder = layout.root / "Data/Test/Brats21"
    assert case.image == folder / mode / f"BraTS2021_00538_{mode}.nii.gz"
    assert case.segmentation == folder / "seg/BraTS2021_00538_seg.nii.gz"


def test_a_volume_that_is_listed_twice_is_named(layout, caplog):
    layout.healthy("IXI_test.csv", ["IXI002", "IXI003", "IXI002"])
    assert len(healthy_cases(layout.root, "test", 0, "t1")) == 3
    assert "names IXI002_t1.nii.gz more than once" in caplog.text


def test_a_t1_in_another_part_of_the_path_stays(layout):
    layout.healthy("IXI_test.csv", ["site_t1_007"])
    (case,) = healthy_cases(layout.root, "test", 0, "t2")
    assert case.image.name == "site_t1_007_t2.nii.gz"


@pytest.mark.parametrize("listed", ["IXI002_t2.nii.gz", "IXI002_t1.nii.gz"])
def test_subjects_without_a_t2_volume_are_left_out_of_t2_alone(layout, listed):
    layout.healthy("IXI_test.csv", ["IXI002", "IXI003"])
    layout.rows("avail_t2.csv", [(0, listed)], ("", "0"))
    found = {
        mode: [case.subject for case in healthy_cases(layout.root, "test", 0, mode)]
        for mode in ("t1", "t2")
    }
    assert found == {"t1": ["IXI002", "IXI003"], "t2": ["IXI002"]}


def test_an_empty_mask_path_is_taken_for_no_mask(layout):
    row = (0, "a_t1.nii.gz", "", "0", "/Train/ixi/t1/a_t1.nii.gz", "")
    layout.rows("IXI_test.csv", [row])
    (case,) = healthy_cases(layout.root, "test", 0, "t1")
    assert case.mask is None


def test_a_fold_that_is_not_there_names_those_that_are(layout):
    for fold in range(3):
        layout.healthy(f"IXI_train_fold{fold}.csv", ["a"])
        layout.healthy(f"IXI_val_fold{fold}.csv", ["b"])
    with pytest.raises(DataError, match=r"data\.fold: found 7, .*folds 0 to 2 are there"):
        healthy_cases(layout.root, "train", 7, "t1")


ROW = (0, "a_t1.nii.gz", "", "0", "/Train/ixi/t1/a_t1.nii.gz", "/Train/ixi/mask/a_mask.nii.gz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({4: ""}, "row 3: img_path is empty"),
        ({4: "/Train/ixi/t1/a.png"}, r"row 3: img_path is '/Train/ixi/t1/a\.png', expected"),
        ({5: "/../../secret.nii"}, r"row 3: mask_path is '/\.\./\.\./secret\.nii', expected"),
    ],
)
def test_a_bad_cell_is_named_by_file_row_and_column(layout, change, said):
    bad = [change.get(place, cell) for place, cell in enumerate(ROW)]
    layout.rows("IXI_test.csv", [ROW, bad])
    with pytest.raises(DataError, match=rf"IXI_test\.csv, {said}"):
        healthy_cases(layout.root, "test", 0, "t1")


def test_a_row_that_is_cut_short_is_named(layout):
    layout.rows("IXI_test.csv", [ROW, ROW[:3]])
    with pytest.raises(DataError, match=r"IXI_test\.csv, row 3: it ends before img_path"):
        healthy_cases(layout.root, "test", 0, "t1")


def test_a_missing_column_is_named(layout):
    layout.rows("IXI_test.csv", [ROW[:5]], ("", "img_name", "age", "label", "img_path"))
    with pytest.raises(DataError, match=r"row 1: there is no column 'mask_path'"):
        healthy_cases(layout.root, "test", 0, "t1")


def test_lesions_without_a_segmentation_are_refused(layout):
    layout.rows("Brats21_val.csv", [(*lesion_row("b")[:6], "")], LESION_HEADER)
    with pytest.raises(DataError, match=r"Brats21_val\.csv, row 2: seg_path is empty"):
        lesion_cases(layout.root, "Brats21", "validation", "t2")


def test_a_list_that_is_missing_empty_or_not_text_is_one_sentence(layout):
    layout.healthy("IXI_train_fold0.csv", ["a"])
    with pytest.raises(DataError, match=r"there is no file .*IXI_test\.csv"):
        healthy_cases(layout.root, "test", 0, "t1")
    path = layout.rows("IXI_test.csv", [])
    with pytest.raises(DataError, match=r"IXI_test\.csv lists no volume with data\.mode t1"):
        healthy_cases(layout.root, "test", 0, "t1")
    path.write_bytes(b"img_name\xff\xfe")
    with pytest.raises(DataError, match=r"IXI_test\.csv is .*, or not a csv file"):
        healthy_cases(layout.root, "test", 0, "t1")
