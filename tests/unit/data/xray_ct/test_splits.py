import logging

import pytest

from data.xray_ct.splits import SPLITS, patient_of, read_splits, split_cases, write_splits
from protocol.errors import DataError, SettingsError

NAMES = [f"case{number:03d}" for number in range(40)]


@pytest.fixture
def settings(tmp_path, chest_settings):
    def make(**changes):
        return chest_settings(tmp_path, **changes)

    return make


def flat(splits):
    return sorted(name for names in splits.values() for name in names)


def test_without_a_list_every_case_is_in_one_split_by_its_share(settings):
    splits = split_cases(settings(fractions=(0.5, 0.25, 0.25)), NAMES)
    assert flat(splits) == NAMES
    assert [len(splits[split]) for split in SPLITS] == [20, 10, 10]


def test_the_split_depends_on_names_alone(settings):
    expected = split_cases(settings(), NAMES)
    again = split_cases(settings(), NAMES[::-1])
    assert {split: sorted(names) for split, names in again.items()} == expected
    assert expected["train"] != NAMES[: len(expected["train"])]


def test_a_new_patient_moves_hardly_any_other(settings):
    before, after = (
        {name: split for split, names in split_cases(settings(), some).items() for name in names}
        for some in (NAMES, [*NAMES, "one more"])
    )
    assert sum(before[name] != after[name] for name in NAMES) <= 2


def test_cases_of_one_patient_stay_together(settings):
    names = [f"p{number % 8}-{number // 8}" for number in range(40)]
    splits = split_cases(settings(patient_pattern=r"^(p\d)-"), names)
    patients = {split: {name[:2] for name in names} for split, names in splits.items()}
    assert sum(map(len, patients.values())) == 8
    assert all(patients.values())


def test_every_split_gets_a_patient_however_few_there_are(settings):
    splits = split_cases(settings(), NAMES[:3])
    assert [len(splits[split]) for split in SPLITS] == [1, 1, 1]


def test_fewer_than_three_patients_cannot_be_split(settings):
    with pytest.raises(DataError, match=r"pairs of 1 patient, expected three or more.*splits\.csv"):
        split_cases(settings(patient_pattern="case"), NAMES)


def test_patients_are_told_from_names():
    assert patient_of("LIDC-IDRI-0001.20000101.3000566.1", None) == "LIDC-IDRI-0001"
    assert patient_of("somebody", None) == "somebody"
    assert patient_of("scan-17-b", r"\d+") == "17"
    assert patient_of("scan-17-b", r"-(\d+)-") == "17"
    with pytest.raises(SettingsError, match=r"data\.patient_pattern: .* is not found in abc"):
        patient_of("abc", r"\d+")


def listed(root, *rows):
    write_splits(root / "splits.csv", [tuple(row.split()) for row in rows])


def test_a_list_decides_and_what_it_leaves_out_is_said_and_unused(tmp_path, settings, caplog):
    listed(tmp_path, "b p1 train", "a p2 validation", "c p3 test", "d p1 train")
    splits = split_cases(settings(), ["a", "b", "c", "d", "e"])
    assert splits == {"train": ["b", "d"], "validation": ["a"], "test": ["c"]}
    assert "does not name e" in caplog.text


def test_splits_that_share_a_patient_are_refused_by_name(tmp_path, settings):
    listed(tmp_path, "a p1 train", "b p2 validation", "c p1 test")
    words = r"1 patient is both in train and in test \(p1\).*allow_overlap"
    with pytest.raises(DataError, match=words):
        split_cases(settings(), ["a", "b", "c"])


def test_shared_patients_may_be_allowed_and_are_warned_of(tmp_path, settings, caplog):
    listed(tmp_path, "a p1 train", "b p2 validation", "c p1 test")
    with caplog.at_level(logging.WARNING):
        splits = split_cases(settings(allow_overlap=True), ["a", "b", "c"])
    assert splits["test"] == ["c"]
    assert "1 patient is both in train and in test (p1)" in caplog.text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a p1 train", "b p2 test"], "puts no case into validation"),
        (["a p1 train", "b p2 validation", "x p3 test"], r"names 1 cases .* not there \(x\)"),
        (["a p1 train", "a p1 train"], "the case a more than once"),
        (["a p1 training"], r"line 2: found .*expected .*train, validation, test"),
    ],
)
def test_a_list_that_is_wrong_is_refused(tmp_path, settings, rows, words):
    listed(tmp_path, *rows)
    with pytest.raises(DataError, match=words):
        split_cases(settings(), ["a", "b", "c"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_list_that_a_spreadsheet_saved_is_read(tmp_path, delimiter):
    path = tmp_path / "splits.csv"
    rows = [("case", "patient", "split"), ("a", "p1", "train"), ("b", "p2", "test")]
    path.write_text("".join(f"{delimiter.join(row)}\r\n" for row in rows), encoding="utf-8-sig")
    assert read_splits(path) == rows[1:]


def test_a_list_without_the_columns_is_refused(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("name,split\na,train\n")
    with pytest.raises(DataError, match="expected case,patient,split"):
        read_splits(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a table as text"):
        read_splits(path)
