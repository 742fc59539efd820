"""Every file below a folder is used, or counted with the reason why not."""

import os

import pydicom
import pytest

from data.scans.find import find_scans
from protocol.errors import DataError


def test_linked_folders_are_followed_once_and_loops_end(tmp_path, nifti, head):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    nifti(elsewhere / "b.nii.gz", head)
    source = tmp_path / "source"
    source.mkdir()
    nifti(source / "a.nii.gz", head)
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
    assert found.note == "1 files used."


def test_upper_case_suffixes_count(tmp_path, nifti, head):
    nifti(tmp_path / "a.nii.gz", head).rename(tmp_path / "A.NII.GZ")
    (scan,) = find_scans(tmp_path).scans
    assert scan.read().values.shape == (16, 20, 24)


def test_both_kinds_in_one_folder_are_refused(tmp_path, nifti, dicom, head):
    dicom(tmp_path / "p0", head)
    nifti(tmp_path / "p1.nii.gz", head)
    with pytest.raises(DataError, match="1 NIfTI files and 1 CT series in DICOM"):
        find_scans(tmp_path)


def test_files_that_are_not_used_are_counted_by_what_they_are(tmp_path, dicom, head):
    dicom(tmp_path / "ct", head)
    dicom(tmp_path / "mr", head[:, :, :2], series="1.2.4", Modality="MR")
    (tmp_path / "readme.txt").write_text("hello")
    assert find_scans(tmp_path).note == "16 files used, 3 left out: 2 MR files, 1 other files."


def test_a_scout_in_a_series_of_its_own_is_no_scan(tmp_path, dicom, head):
    dicom(tmp_path / "ct", head)
    scout = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "series": "1.2.9"}
    dicom(tmp_path / "scout", head[:, :, :1], **scout)
    found = find_scans(tmp_path)
    assert [scan.name for scan in found.scans] == ["series 1.2.3"]
    assert "1 left out: 1 CT localizers" in found.note


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
