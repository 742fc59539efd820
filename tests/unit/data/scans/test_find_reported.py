"""Inputs that public reports tell of: each is read right, or refused with the reason.

They are made here after the reports; docs/data.md lists them with what each becomes.
"""

import gzip
import struct

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK

from data.physics.attenuation import IntensityScale
from data.scans.find import find_scans
from protocol.errors import DataError
from tests.unit.data.scans.bodies import BONE, bone_of, centred, sampled

SHAPE = (48, 42, 40)
STRAIGHT = centred(np.diag([5.0, 5.0, 5.0]), SHAPE)
CODES, QUATERNION, SCALING, PIXDIM = 252, 256, 112, 76  # bytes of a NIfTI header


def read(folder):
    """Every scan of a folder as a preparation reads it: the volumes, and all remarks."""
    volumes = []
    for scan in find_scans(folder).scans:
        volumes.append(scan.read())
        IntensityScale().check(scan.name, volumes[-1].values)
    return volumes


def right(folder):
    """Of the one scan in a folder, once the bone is sure to lie where it was drawn."""
    (volume,) = read(folder)
    np.testing.assert_allclose(bone_of(volume), BONE, atol=1.0)
    assert volume.values.min() == pytest.approx(-1000, abs=5)
    assert volume.values.max() == pytest.approx(1000, abs=5)
    return volume


def nifti(folder, affine=STRAIGHT, *, sform=1, qform=1, values=None, name="a.nii"):
    image = nibabel.nifti1.Nifti1Image(
        sampled(affine, SHAPE).astype(np.int16) if values is None else values, affine
    )
    image.set_sform(affine if sform else None, sform)
    image.set_qform(affine if qform else None, qform)
    nibabel.loadsave.save(image, folder / name)
    return folder / name


def patched(path, place, layout, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, place, *values)
    path.write_bytes(content)


class TestNifti:
    """Headers."""

    def test_a_file_that_is_not_compressed_though_named_so(self, tmp_path):  # nibabel#898
        nifti(tmp_path).rename(tmp_path / "a.nii.gz")
        with pytest.raises(DataError, match=r"a\.nii\.gz is truncated .*[Nn]ot a gzipped file"):
            read(tmp_path)

    def test_a_quaternion_that_is_none_alone(self, tmp_path):  # nibabel#626
        patched(nifti(tmp_path, sform=0), QUATERNION, "<3f", 2, 2, 2)
        with pytest.raises(DataError, match=r"a\.nii is truncated or damaged, .*w2 should be"):
            read(tmp_path)

    def test_a_quaternion_that_is_none_beside_a_sform(self, tmp_path):  # fmriprep#845
        patched(nifti(tmp_path), QUATERNION, "<3f", 2, 2, 2)
        assert right(tmp_path).remarks == ("the header's qform is damaged; the sform was taken",)

    def test_a_sform_of_zeros_without_a_code(self, tmp_path):  # simnibs#448
        assert right(nifti(tmp_path, sform=0).parent).remarks == ()

    def test_a_sform_alone(self, tmp_path):  # simnibs#110
        assert right(nifti(tmp_path, qform=0).parent).remarks == ()

    def test_a_handedness_of_zero(self, tmp_path):  # napari-nninteractive#10
        patched(nifti(tmp_path, sform=0), PIXDIM, "<f", 0)
        right(tmp_path)

    def test_columns_that_lead_to_the_left(self, tmp_path):  # MONAI#387, torchio#469
        right(nifti(tmp_path, centred(np.diag([-5.0, 5, 5]), SHAPE)).parent)

    def test_a_scaling_of_nan(self, tmp_path):  # fmriprep#2507
        patched(nifti(tmp_path), SCALING, "<2f", np.nan, np.nan)
        right(tmp_path)

    def test_voxels_of_nan(self, tmp_path):  # MONAI#1846, nibabel#1002
        values = sampled(STRAIGHT, SHAPE)
        values[0, 0, :3] = np.nan
        nifti(tmp_path, values=values)
        with pytest.raises(
            DataError,
            match=r"a\.nii has 3 NaN voxels \(0\.0%\); if they lie outside .*, give --nan_as_air",
        ):
            read(tmp_path)

    def test_an_image_of_two_axes(self, tmp_path):  # spinalcordtoolbox#1896
        nifti(tmp_path, values=np.zeros((8, 8), np.int16))
        with pytest.raises(DataError, match=r"a\.nii has 2 axes \(8, 8\), expected one volume"):
            read(tmp_path)

    def test_a_header_without_its_mark(self, tmp_path):  # bids legacy-validator#1537
        patched(nifti(tmp_path), 344, "<4s", b"oops")
        with pytest.raises(DataError, match=r"a\.nii is "):
            read(tmp_path)

    def test_bytes_after_a_compressed_file(self, tmp_path):  # gzip members one after another
        content = nifti(tmp_path).read_bytes()
        (tmp_path / "a.nii").unlink()
        halves = gzip.compress(content[:5000]) + gzip.compress(content[5000:])
        (tmp_path / "a.nii.gz").write_bytes(halves)
        right(tmp_path)


class TestOthers:
    """Formats that ITK and others write."""

    @pytest.mark.parametrize(
        "turn",
        [np.eye(3), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]],  # MONAI#3356; #7912 and #7371
    )
    def test_nrrd_of_any_direction(self, tmp_path, turn):
        affine = centred(np.diag([-1, -1, 1]) @ np.array(turn) * 5.0, SHAPE)
        image = SimpleITK.GetImageFromArray(sampled(affine, SHAPE).astype(np.int16).T)
        image.SetSpacing([5.0] * 3)
        image.SetDirection(np.array(turn, dtype=float).ravel().tolist())
        image.SetOrigin((np.diag([-1, -1, 1]) @ affine[:3, 3]).tolist())
        SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
        right(tmp_path)

    def test_minc_is_counted_and_not_read(self, tmp_path):  # torchio#610
        nifti(tmp_path)
        (tmp_path / "b.mnc").write_bytes(b"CDF\x01")
        assert "1 of 2 files are used; left out: 1 other files" in find_scans(tmp_path).note


@pytest.fixture
def slices(tmp_path, dicom):
    """Writes a series of the body, or of one that a function of its positions changes."""

    def write(heights=lambda z: z, folder="ct", **changes):
        z = heights(np.arange(SHAPE[2]) * 5.0)
        values = sampled(STRAIGHT, SHAPE)
        paths = dicom(tmp_path / folder, values, **changes)
        for path, height in zip(paths, z, strict=True):
            file = pydicom.dcmread(path)
            x, y, low = STRAIGHT[:3, 3] + [5.0 * (SHAPE[0] - 1), 5.0 * (SHAPE[1] - 1), 0]
            file.ImagePositionPatient = [-x, -y, low + height]
            if "PixelSpacing" not in changes:
                file.PixelSpacing = [5.0, 5.0]
            file.save_as(path)
        return paths

    return write


def edited(path, **changes):
    file = pydicom.dcmread(path)
    for key, value in changes.items():
        if value is None:
            delattr(file, key)
        else:
            setattr(file, key, value)
    file.save_as(path)


class TestDicom:
    """Series."""

    def test_a_slope_below_one(self, slices, tmp_path):  # ImageMagick#477
        slices()
        right(tmp_path)

    def test_a_slice_that_is_missing(self, slices, tmp_path):  # dcm2niix#539
        slices()[25].unlink()
        with pytest.raises(DataError, match=r"lacks slices at 27\.5 mm, its others being 5\.00"):
            read(tmp_path)

    def test_steps_that_triple_half_way(self, slices, tmp_path):  # dcm2niix#22, #622
        slices(lambda z: z + np.maximum(z - 150, 0) * 2)
        with pytest.raises(DataError, match=r"lacks slices at .* mm, its others being 5\.00"):
            read(tmp_path)

    def test_positions_that_were_rounded(self, slices, tmp_path):  # dcm2niix#216
        slices(lambda z: z + 1e-5 * np.sin(z))
        assert right(tmp_path).remarks == ()

    def test_equal_times_and_numbers(self, slices, tmp_path):  # dcm2niix#168
        slices(InstanceNumber=1, AcquisitionTime="120000", AcquisitionNumber=1)
        assert right(tmp_path).values.shape[0] == SHAPE[2]

    def test_some_positions_twice(self, slices, tmp_path):  # dcm2niix#207, #379
        slices(lambda z: np.where(z == 50, 55.0, z))
        with pytest.raises(DataError, match="lie at the same position"):
            read(tmp_path)

    def test_a_file_that_was_not_transferred_whole(self, slices, tmp_path):  # dcm2niix#156
        path = slices()[3]
        path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(DataError, match=rf"{path.name} is truncated or damaged"):
            read(tmp_path)

    def test_files_without_the_mark(self, slices, tmp_path):  # pydicom#150, #340
        for path in slices():
            bare = pydicom.Dataset(pydicom.dcmread(path))
            pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True)
            assert path.read_bytes()[:2] == b"\x08\x00"
        right(tmp_path)

    @pytest.mark.parametrize(
        "spacing",
        [None, "0.0058,0.0019"],  # pydicom#798; #173
    )
    def test_a_spacing_that_is_none(self, slices, tmp_path, spacing):
        path = slices()[0]
        file = pydicom.dcmread(path)
        del file.PixelSpacing
        if spacing:
            file.add_new("PixelSpacing", "LO", spacing)
        file.save_as(path)
        with pytest.raises(
            DataError, match=rf"{path.name} is .*, or not a DICOM file with a complete header"
        ):
            read(tmp_path)

    def test_a_spacing_in_one_text(self, slices, tmp_path):  # pydicom#828
        for path in slices():
            file = pydicom.dcmread(path)
            del file.PixelSpacing
            file.add_new("PixelSpacing", "UT", "5\\5")
            file.save_as(path)
        right(tmp_path)

    def test_pixels_that_are_not_there(self, slices, tmp_path):  # pydicom#1799
        path = slices()[2]
        edited(path, PixelData=None)
        with pytest.raises(DataError, match=rf"{path.name} is "):
            read(tmp_path)

    def test_labels_as_a_series_of_their_own(self, slices, tmp_path):  # MONAI#1711
        slices()
        slices(folder="labelled", series="9.9", RescaleSlope=0, RescaleIntercept=0)
        with pytest.raises(DataError, match=r"series 9\.9 has values .* not in Hounsfield units"):
            read(tmp_path)
