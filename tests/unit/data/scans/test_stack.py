"""Slices lie where their positions say, or the series is refused with what is wrong."""

import numpy as np
import pydicom
import pytest

from data.scans.find import find_scans
from protocol.errors import DataError
from tests.unit.data.scans.bodies import BONE, bone_of, centred, depth_of, sampled

SHAPE, SPACING = (56, 48, 48), 4.0


@pytest.fixture
def series(tmp_path, dicom):
    """Writes a series whose gantry is tilted by some degrees; its slices' files, lowest first."""

    def write(folder="ct", tilt=0.0, shift=(0.0, 0.0, 0.0), **changes):
        angle = np.radians(tilt)
        along_column = np.array([0.0, np.cos(angle), np.sin(angle)])  # to posterior, tilted
        matrix = SPACING * np.column_stack([[1, 0, 0], along_column * [1, -1, 1], [0, 0, 1]])
        # dicom() flips its first two axes, as columns run to the left and rows to posterior.
        affine = centred(matrix * [1, -1, 1], SHAPE)
        affine[:3, 3] += shift
        values = sampled(affine, SHAPE)
        paths = dicom(tmp_path / folder, values, **changes)
        first = affine @ [SHAPE[0] - 1, SHAPE[1] - 1, 0, 1]
        for number, path in enumerate(paths):
            file = pydicom.dcmread(path)
            corner = first[:3] + np.array([0, 0, SPACING * number]) - shift
            file.ImagePositionPatient = [-corner[0], -corner[1], corner[2]]
            file.ImageOrientationPatient = [1, 0, 0, *along_column]
            file.PixelSpacing = [SPACING, SPACING]
            file.save_as(path)
        return paths

    return write


def read(folder):
    (scan,) = find_scans(folder).scans
    return scan.read()


@pytest.mark.parametrize("tilt", [0.0, 20.0, -15.0])
def test_a_tilted_gantrys_slices_are_put_upright(series, tmp_path, tilt):
    series(tilt=tilt)
    volume = read(tmp_path)
    np.testing.assert_allclose(bone_of(volume), BONE, atol=1.0)
    assert depth_of(volume) == pytest.approx(140, abs=2 * SPACING)
    assert bool(volume.remarks) == bool(tilt)


def test_slices_that_are_missing_are_named_by_their_positions(series, tmp_path):
    for path in series()[20:23]:
        path.unlink()
    with pytest.raises(DataError, match=r"lacks slices at .* 4.00 mm apart"):
        read(tmp_path)


def test_copies_of_slices_are_dropped_and_that_is_said(series, tmp_path):
    series()
    series("copy")
    volume = read(tmp_path)
    assert volume.values.shape == SHAPE[::-1]
    assert volume.remarks == ("48 slices are copies of others, and were dropped",)
    np.testing.assert_allclose(bone_of(volume), BONE, atol=1.0)


def test_phases_that_are_numbered_are_scans_of_their_own_of_one_patient(series, tmp_path):
    for number in (1, 2):
        shift = (8.0 * number, 0.0, 0.0)
        series(f"phase{number}", shift=shift, AcquisitionNumber=number)
    scans = find_scans(tmp_path).scans
    assert [scan.name for scan in scans] == [f"series 1.2.3, acquisition {n}" for n in (1, 2)]
    assert len({scan.patient for scan in scans}) == 1
    moved = bone_of(scans[0].read()) - bone_of(scans[1].read())
    np.testing.assert_allclose(moved, [8.0, 0.0, 0.0], atol=1.0)


def test_phases_that_nothing_tells_apart_are_refused(series, tmp_path):
    for number in (1, 2):
        series(f"phase{number}", shift=(8.0 * number, 0.0, 0.0))
    with pytest.raises(DataError, match=r"at the same position .* several phases"):
        read(tmp_path)


def edited(paths, edit):
    for number, path in enumerate(paths):
        file = pydicom.dcmread(path)
        edit(file, number)
        file.save_as(path)


def test_slices_that_all_claim_one_position_are_refused(series, tmp_path):
    def same(file, number):
        file.ImagePositionPatient = [0, 0, 0]

    edited(series(), same)
    with pytest.raises(DataError, match="at the same position"):
        read(tmp_path)


def test_a_slice_beside_the_others_is_named(series, tmp_path):
    paths = series()

    def aside(file, number):
        if number == 7:
            file.ImagePositionPatient[0] += 3.0

    edited(paths, aside)
    with pytest.raises(DataError, match=rf"{paths[7].name} lies 3.0 mm beside"):
        read(tmp_path)


def test_slightly_uneven_steps_are_interpolated(series, tmp_path):
    def jittered(file, number):
        file.ImagePositionPatient[2] += 0.5 * (number % 2)

    edited(series(), jittered)
    volume = read(tmp_path)
    assert "uneven" in volume.remarks[0]
    np.testing.assert_allclose(bone_of(volume), BONE, atol=1.0)


def test_a_spacing_that_was_rounded_otherwise_is_the_same(series, tmp_path):
    def rounded(file, number):
        if number == 3:
            file.PixelSpacing = [SPACING + 1e-5, SPACING]

    edited(series(), rounded)
    np.testing.assert_allclose(bone_of(read(tmp_path)), BONE, atol=1.0)


@pytest.mark.parametrize(
    ("key", "value"), [("PixelSpacing", [0, 0]), ("ImageOrientationPatient", [0] * 6)]
)
def test_a_header_that_says_nothing_of_size_or_direction_is_refused(series, tmp_path, key, value):
    edited(series(), lambda file, number: setattr(file, key, value))
    with pytest.raises(DataError, match="not a DICOM file with a complete header"):
        find_scans(tmp_path)
