import logging

import pytest

from data.brain.dataset import BrainSlices
from data.brain.overlap import check_overlap
from protocol.errors import DataError


def copy_row(root, source, target, row=1):
    """Let `target` list a subject of `source` as well."""
    splits = root / "Data" / "splits"
    line = (splits / source).read_text().splitlines()[row]
    with (splits / target).open("a") as stream:
        stream.write(line + "\n")
    return line.split(",")[1].removesuffix("_t1.nii.gz")


def test_disjoint_splits_pass(brain_settings):
    for fold in (0, 1):
        check_overlap(brain_settings(fold=fold))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("IXI_train_fold0.csv", "IXI_test.csv"),
        ("IXI_val_fold0.csv", "IXI_train_fold0.csv"),
        ("IXI_val_fold0.csv", "IXI_test.csv"),
        ("Synthetic_val.csv", "Synthetic_test.csv"),
        ("Synthetic_test.csv", "IXI_train_fold0.csv"),
    ],
)
def test_a_subject_in_two_splits_is_refused_by_name_when_data_is_opened(
    brain_settings, brains, source, target
):
    subject = copy_row(brains, source, target)
    with pytest.raises(DataError, match=rf"{target}.*\({subject}\)|\({subject}\).*{target}"):
        BrainSlices(brain_settings(), "validation")


def test_another_folds_lists_do_not_matter(brain_settings, brains):
    copy_row(brains, "IXI_val_fold1.csv", "IXI_train_fold1.csv")
    check_overlap(brain_settings(fold=0))
    with pytest.raises(DataError, match="IXI_train_fold1"):
        check_overlap(brain_settings(fold=1))


def test_sets_with_lesions_that_are_not_used_do_not_matter(brain_settings, brains):
    copy_row(brains, "Synthetic_val.csv", "Synthetic_test.csv")
    check_overlap(brain_settings(lesions=[]))


def test_sessions_of_one_person_are_one_subject_unless_the_set_says_otherwise(
    brain_settings, brains
):
    splits = brains / "Data" / "splits"
    for name, session in (("IXI_train_fold0.csv", "ses-1"), ("IXI_test.csv", "ses-2")):
        rows = (splits / name).read_text().splitlines()
        cells = rows[1].split(",")
        cells[1] = f"sub-07_{session}_t1.nii.gz"
        (splits / name).write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]))
    with pytest.raises(DataError, match=r"both in IXI_train_fold0.csv .* \(sub-07\)"):
        check_overlap(brain_settings(mode="t1"))
    (brains / "made_from.json").write_text('{"splits_share_people": true}')
    check_overlap(brain_settings(mode="t1"))


def test_what_is_allowed_is_warned_of(brain_settings, brains, caplog):
    subject = copy_row(brains, "IXI_train_fold0.csv", "IXI_test.csv")
    with caplog.at_level(logging.WARNING):
        check_overlap(brain_settings(allow_overlap=True))
    assert f"({subject})" in caplog.text
    assert "data.allow_overlap" in caplog.text
