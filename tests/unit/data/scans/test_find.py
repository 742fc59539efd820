"""Every file below a folder is used, or counted with the reason why not."""

import os

import numpy as np
import pydicom
import pytest

from data.scans.find import find_scans
from protocol.errors import DataError, SettingsError


def test_linked_folders_are_followed_once_and_loops_end(tmp_path, nifti, head):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    nifti(elsewhere / "b.nii.gz", head)
    source = tmp_path / "source"
    source.mkdir()
    nifti(source / "a.nii.gz", -head)
    (source / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(source)
    assert sorted(scan.name for scan in find_scans(source).scans) == ["a.nii.gz", "b.nii.gz"]


def test_what_is_hidden_or_thrown_away_is_not_used(tmp_path, nifti, head):
    nifti(tmp_path / "a.nii.gz", head)
    for folder in (".Trash", "__MACOSX"):
        (tmp_path / folder).mkdir()
        nifti(tmp_path / folder / "old.nii.gz", head)
    nifti(tmp_path / "._a.nii.gz", head)
    found = find_scans(tmp_path)
    assert [scan.name for scan in found.scans] == ["a.nii.gz"]
    assert found.note.startswith("1 of 1 files are used.")


def test_upper_case_suffixes_count(tmp_path, nifti, head):
    nifti(tmp_path / "a.nii.gz", head).rename(tmp_path / "A.NII.GZ")
    (scan,) = find_scans(tmp_path).scans
    assert scan.read().values.shape == (16, 20, 24)


def test_both_kinds_in_one_folder_are_refused(tmp_path, nifti, dicom, head):
    dicom(tmp_path / "p0", head)
    nifti(tmp_path / "p1.nii.gz", head)
    with pytest.raises(DataError, match="1 files of volumes and 1 CT series"):
        find_scans(tmp_path)


def test_files_that_are_not_used_are_counted_by_what_they_are(tmp_path, dicom, head):
    dicom(tmp_path / "ct", head)
    dicom(tmp_path / "mr", head[:, :, :2], series="1.2.4", Modality="MR")
    (tmp_path / "readme.txt").write_text("hello")
    note = find_scans(tmp_path).note
    assert note.startswith("16 of 19 files are used; left out: 2 MR files, 1 other files.")


def test_a_scout_in_a_series_of_its_own_is_no_scan(tmp_path, dicom, head):
    dicom(tmp_path / "ct", head)
    scout = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "series": "1.2.9"}
    dicom(tmp_path / "scout", head[:, :, :1], **scout)
    found = find_scans(tmp_path)
    assert [scan.name for scan in found.scans] == ["series 1.2.3"]
    assert "left out: 1 CT localizers." in found.note


def test_slices_without_the_preamble_are_read(tmp_path, dicom, head):
    for path in dicom(tmp_path, head):
        file = pydicom.dcmread(path)
        content = path.read_bytes()
        del file
        path.write_bytes(content[132:])
    (scan,) = find_scans(tmp_path).scans
    assert scan.read().values.shape == (16, 20, 24)


def test_series_without_a_patient_are_of_one_if_their_study_is(tmp_path, dicom, head):
    for number, study in enumerate(["1.5", "1.5", "1.6"]):
        names = {"series": f"1.2.{number}", "patient": "  ", "StudyInstanceUID": study}
        dicom(tmp_path / str(number), head, **names)
    assert len({scan.patient for scan in find_scans(tmp_path).scans}) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path, nifti, head):
    nifti(tmp_path / "a.nii.gz", head)
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(DataError, match="closed cannot be read"):
        find_scans(tmp_path)


@pytest.mark.parametrize("how", ["copy", "link"])
def test_a_file_that_is_there_twice_is_used_once(tmp_path, nifti, head, how):
    first = nifti(tmp_path / "a.nii.gz", head)
    nifti(tmp_path / "b.nii.gz", -head)
    (tmp_path / "more").mkdir()
    again = tmp_path / "more" / "c.nii.gz"
    again.symlink_to(first) if how == "link" else again.write_bytes(first.read_bytes())
    found = find_scans(tmp_path)
    assert [scan.name for scan in found.scans] == ["a.nii.gz", "b.nii.gz"]
    assert "left out: 1 copies of other files." in found.note


def test_sessions_and_runs_of_a_subject_are_one_person(tmp_path, nifti, head):
    for number, name in enumerate(["sub-01_ses-1_ct", "sub-01_ses-2_run-2_ct", "sub-02_ct"]):
        nifti(tmp_path / f"{name}.nii.gz", head + number)
    found = find_scans(tmp_path)
    assert len({scan.patient for scan in found.scans}) == 2
    assert "3 scans of 2 patients, told apart by sub-… in their names." in found.note


def test_a_subjects_folder_counts_as_its_files_names_do(tmp_path, nifti, head):
    for number, place in enumerate(["sub-01/ses-1", "sub-01/ses-2"]):
        (tmp_path / place).mkdir(parents=True)
        nifti(tmp_path / place / "ct.nii.gz", head + number)
    assert len({scan.patient for scan in find_scans(tmp_path).scans}) == 1


def test_a_pattern_tells_patients_apart(tmp_path, nifti, head):
    for number, name in enumerate(["p7-before", "p7-after", "p8-before"]):
        nifti(tmp_path / f"{name}.nii.gz", head + number)
    found = find_scans(tmp_path, patient_pattern=r"^(p\d+)-")
    assert [scan.patient for scan in found.scans] == ["p7", "p7", "p8"]
    with pytest.raises(SettingsError, match=r"'q' is not found in p7-after.nii.gz") as caught:
        find_scans(tmp_path, patient_pattern="q")
    assert caught.value.key == "--patient_pattern"


def test_without_a_word_on_patients_it_is_said_what_was_assumed(tmp_path, nifti, head):
    for number in range(2):
        nifti(tmp_path / f"{number}.nii.gz", head + number)
    assert "Each of 2 files is taken for another patient's" in find_scans(tmp_path).note


def test_spellings_of_one_patients_id_are_one_patient(tmp_path, dicom, head):
    for number, patient in enumerate(["P-1", "p1", "P1 "]):
        dicom(tmp_path / str(number), head, series=f"1.2.{number}", patient=patient)
    assert len({scan.patient for scan in find_scans(tmp_path).scans}) == 1


def test_a_name_whose_bytes_are_no_text_is_shown_escaped(tmp_path, nifti, head):
    path = nifti(tmp_path / "a.nii.gz", head)
    os.rename(path, os.fsencode(tmp_path) + b"/\xe9.nii.gz")  # noqa: PTH104
    (scan,) = find_scans(tmp_path).scans
    assert scan.name == "\\udce9.nii.gz"
    assert scan.read().values.shape == (16, 20, 24)


@pytest.mark.parametrize("word", ["mask", "seg", "dseg", "label-lesion_roi", "Lung_Mask"])
def test_label_maps_beside_scans_are_no_patients(tmp_path, nifti, head, word):
    for patient, body in (("a", head), ("b", head[::-1])):
        nifti(tmp_path / f"{patient}.nii.gz", body)
        nifti(tmp_path / f"{patient}_{word}.nii.gz", (head > 0).astype(np.float32))
    found = find_scans(tmp_path)
    assert [scan.name for scan in found.scans] == ["a.nii.gz", "b.nii.gz"]
    assert "2 label maps by their names" in found.note


def test_links_that_lead_nowhere_are_counted(tmp_path, nifti, head):
    nifti(tmp_path / "a.nii.gz", head)
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    found = find_scans(tmp_path)
    assert "1 of 2 files are used; left out: 1 links that lead nowhere" in found.note
