import os

import numpy as np
import pydicom
import pytest

from data.scans.find import find_scans
from data.scans.volume import axial
from protocol.errors import DataError


def test_a_series_is_sorted_by_position_and_rescaled(tmp_path, dicom, head):
    dicom(tmp_path / "a" / "b", head)
    (scan,) = find_scans(tmp_path).scans
    volume = scan.read()
    expected = axial(head, np.diag([2.0, 2.0, 3.0, 1.0]))
    np.testing.assert_allclose(volume.values, expected.values)
    assert volume.voxel_size[1:] == (2.0, 2.0)


def test_series_in_one_folder_are_told_apart(tmp_path, dicom, head):
    dicom(tmp_path / "x", head, series="1.2.3", patient="P1")
    dicom(tmp_path / "x" / "more", head[:, :, :5], series="1.2.4", patient="P2")
    scans = find_scans(tmp_path).scans
    assert [scan.name for scan in scans] == ["series 1.2.3", "series 1.2.4"]
    assert [len(scan.read().values) for scan in scans] == [16, 5]


def test_series_of_one_patient_stay_together_unless_said_otherwise(tmp_path, dicom, head):
    dicom(tmp_path / "x", head, series="1.2.3", patient="SAME")
    dicom(tmp_path / "y", head, series="1.2.4", patient="SAME")
    dicom(tmp_path / "z", head, series="1.2.5", patient="")
    dicom(tmp_path / "w", head, series="1.2.6", patient="")
    assert len({scan.patient for scan in find_scans(tmp_path).scans}) == 3
    assert len({s.patient for s in find_scans(tmp_path, series_are_patients=True).scans}) == 4


def test_localizers_other_modalities_and_other_files_are_passed_over(tmp_path, dicom, head):
    dicom(tmp_path / "ct", head)
    dicom(tmp_path / "mr", head, series="1.2.4", Modality="MR")
    dicom(tmp_path / "scout", head, series="1.2.5", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (tmp_path / "readme.txt").write_text("hello")
    assert [scan.name for scan in find_scans(tmp_path).scans] == ["series 1.2.3"]


def test_a_folder_without_ct_says_what_it_found(tmp_path, dicom, head):
    dicom(tmp_path / "mr", head, Modality="MR")
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(DataError, match=r"found MR files, other files"):
        find_scans(tmp_path)


def test_an_empty_folder_is_said_to_be_empty(tmp_path):
    with pytest.raises(DataError, match="it is empty"):
        find_scans(tmp_path)


def test_a_slice_with_missing_pixels_is_named(tmp_path, dicom, head):
    path = dicom(tmp_path, head)[5]
    os.truncate(path, path.stat().st_size - 100)
    (scan,) = find_scans(tmp_path).scans
    with pytest.raises(DataError, match=rf"{path.name} is truncated or damaged"):
        scan.read()


def test_a_header_without_a_place_is_named(tmp_path, dicom, head):
    path = dicom(tmp_path, head)[0]
    import pydicom

    file = pydicom.dcmread(path)
    del file.PixelSpacing
    file.save_as(path)
    with pytest.raises(
        DataError, match=rf"{path.name} is .*, or not a DICOM file with a complete header"
    ):
        find_scans(tmp_path)


def test_slices_that_do_not_match_their_series_are_named(tmp_path, dicom, head):
    dicom(tmp_path / "x", head)
    path = dicom(tmp_path / "y", head[:20, :, :1], ImagePositionPatient=[-24, -20, 99])[0]
    (scan,) = find_scans(tmp_path).scans
    with pytest.raises(DataError, match=r"000.dcm does not match 000.dcm .*size"):
        scan.read()
    assert path.exists()


def test_enhanced_ct_is_refused_with_a_way_out(tmp_path, dicom, head):
    dicom(tmp_path, head, NumberOfFrames=12)
    with pytest.raises(DataError, match=r"many frames .*dcm2niix"):
        find_scans(tmp_path)


def test_a_stack_of_sagittal_slices_gives_axial_ones(tmp_path, dicom, head):
    # Columns run to posterior, rows to inferior, and the stack to the left.
    sagittal = head.transpose(1, 2, 0)  # dicom() writes its first two axes flipped as rows, columns
    paths = dicom(tmp_path, sagittal, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    import pydicom

    for number, path in enumerate(paths):
        file = pydicom.dcmread(path)
        file.ImagePositionPatient = [-2.0 * number, 0, 0]
        file.save_as(path)
    (scan,) = find_scans(tmp_path).scans
    expected = axial(head, np.diag([2.0, 2.0, 2.0, 1.0]))
    np.testing.assert_allclose(scan.read().values, expected.values)


def test_a_table_in_place_of_a_slope_is_used(tmp_path, dicom, head):
    item = pydicom.Dataset()
    item.LUTDescriptor = [4096 * 2, 0, 16]
    table = np.maximum(0, np.arange(4096 * 2) - 1000)
    item.LUTData = table.astype("<u2").tobytes()
    item.ModalityLUTType = "HU"
    paths = dicom(tmp_path, head)
    for path in paths:
        file = pydicom.dcmread(path)
        file.ModalityLUTSequence = [item]
        del file.RescaleSlope, file.RescaleIntercept
        file.save_as(path)
    (scan,) = find_scans(tmp_path).scans
    stored = (head + 1024) * 2  # as the fixture writes it
    expected = np.maximum(stored - 1000, 0).transpose(2, 1, 0)[:, ::-1, ::-1]
    np.testing.assert_array_equal(
        np.sort(scan.read().values, axis=None), np.sort(expected, axis=None)
    )
