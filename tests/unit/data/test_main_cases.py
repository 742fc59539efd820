"""Scans as they come, through the commands that users type: what is written is measured.

Each input is one that public reports tell of, made here of a body whose places and HU are known.
What becomes of it is within 1 mm and 5 HU of that body, or a sentence that says why not.
"""

import csv
import gzip
import io
import json
import os
import re
import shutil
import struct
from types import SimpleNamespace

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
import torch

from data.__main__ import main
from data.physics.attenuation import MU_AIR, MU_WATER
from data.physics.parallel import MU_MAX
from data.splits import SPLITS
from data.xray_ct.dataset import XrayCtVolumes
from data.xray_ct.settings import XrayCtSettings
from protocol.errors import DataError
from tests.unit.data.scans.bodies import BONE, centred, sampled

STEP, SHAPE = 4.0, (56, 48, 48)
STRAIGHT = centred(np.diag([STEP] * 3), SHAPE)
MILLIMETRE, HU = 1.0, 5.0


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def prepared(tmp_path, source, capsys):
    """Types a `prepare` of the source; tells its exit code, what it said, and where it wrote."""

    def run(command, *options):
        words = {
            "xray_ct": "--layout nifti_png --size 48 --xray_size 16",
            "lodopab": "--image_size 48 --angles 4 --gap 1",
            "brain": "--modality t1",
        }[command].split()
        out = tmp_path / command
        code = main([command, "--source", str(source), "--out", str(out), *words, *options])
        caught = capsys.readouterr()
        assert code == (2 if caught.err else 0)
        assert out.exists() == (code == 0)
        return SimpleNamespace(said=caught.out + caught.err, refused=bool(code), out=out)

    return run


@pytest.fixture
def refusal(prepared):
    """The one sentence with which a command refuses the source."""

    def run(command, *options):
        seen = prepared(command, *options)
        assert seen.refused, seen.said
        return seen.said.rpartition("error: ")[2]

    return run


@pytest.fixture
def pairs(prepared):
    """The scans as they lie, as `prepare xray_ct` writes them, once each is sure to be right."""

    def run(*options, mirrored=False):
        seen = prepared("xray_ct", *options)
        assert not seen.refused, seen.said
        cases = sorted(path for path in seen.out.iterdir() if path.is_dir())
        cases = [case for case in cases if "-v" not in case.name or case.name.endswith("v000")]
        for case in cases:
            check_volume(nibabel.loadsave.load(case / f"{case.name}.nii.gz"), mirrored)
        return SimpleNamespace(said=seen.said, cases=cases)

    return run


def check_volume(image, mirrored):
    values = np.asarray(image.dataobj, dtype=np.float64)
    body = middle(image, np.clip((values + 1000) / 1040, 0, 1))
    bone = middle(image, np.clip(values - 100, 0, 900)) - body
    expected = BONE * [-1, 1, 1] if mirrored else BONE
    np.testing.assert_allclose(bone, expected, atol=MILLIMETRE)
    assert np.median(values[values > -300]) == pytest.approx(40, abs=HU)
    assert values.max() == pytest.approx(1000, abs=HU)


def middle(image, weights):
    """(3,) mm to the right, anterior and superior."""
    index = [np.average(axis, weights=weights) for axis in np.indices(weights.shape)]
    return image.affine[:3, :3] @ index + image.affine[:3, 3]


@pytest.fixture
def images(prepared):
    """All images that `prepare lodopab` makes of the source, once they are sure to be right."""

    def run(*options):
        seen = prepared("lodopab", *options)
        assert not seen.refused, seen.said
        stored = []
        for path in sorted(seen.out.glob("ground_truth_*.hdf5")):
            with h5py.File(path) as file:
                stored += list(file["data"][:])
        pixel = STEP * max(SHAPE[:2]) / 48
        hu = (np.array(stored) * MU_MAX - MU_WATER) * (1000 / (MU_WATER - MU_AIR))
        bony = [one for one in hu if one.max() > 500]
        assert bony
        for one in bony:
            body = in_plane(np.clip((one + 1000) / 1040, 0, 1))
            right, anterior = (in_plane(np.clip(one - 100, 0, 900)) - body) * pixel * [-1, -1]
            np.testing.assert_allclose([right, anterior], BONE[:2], atol=MILLIMETRE)
        assert np.median(hu[hu > -300]) == pytest.approx(40, abs=HU)
        assert hu.max() == pytest.approx(1000, abs=HU)
        return SimpleNamespace(said=seen.said, count=len(hu), out=seen.out)

    return run


def in_plane(weights):
    """(2,) pixels to the right of the image, which is the patient's left, and down."""
    rows, columns = np.indices(weights.shape)
    return np.array([np.average(columns, weights=weights), np.average(rows, weights=weights)])


def body(person=0.0):
    """(a, b, c) HU along `STRAIGHT`; persons' flesh differs, by less than it may be off."""
    values = sampled(STRAIGHT, SHAPE)
    return np.where(values == 40, values + person, values)


def nifti(path, values=None, affine=STRAIGHT, edit=lambda image: image):
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = (body() if values is None else values).astype(np.int16)
    nibabel.loadsave.save(edit(nibabel.nifti1.Nifti1Image(stored, affine)), path)
    return path


def patched(path, place, layout, *values):
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(layout, content, place, *values)
    path.write_bytes(gzip.compress(bytes(content), mtime=0))


@pytest.fixture
def series(source, dicom):
    """Writes a series of the body; `edit` changes a slice's file, given its number and HU."""

    def write(folder="ct", *, tilt=0.0, values=None, edit=None, **changes):
        angle = np.radians(tilt)
        along_column = np.array([0.0, np.cos(angle), np.sin(angle)])  # to posterior, tilted
        matrix = STEP * np.column_stack([[1, 0, 0], along_column * [1, -1, 1], [0, 0, 1]])
        affine = centred(matrix * [1, -1, 1], SHAPE)
        values = sampled(affine, SHAPE) if values is None else values
        paths = dicom(source / folder, values, **changes)
        first = affine @ [SHAPE[0] - 1, SHAPE[1] - 1, 0, 1]
        for number, path in enumerate(paths):
            file = pydicom.dcmread(path)
            file.ImagePositionPatient = [-first[0], -first[1], first[2] + STEP * number]
            file.ImageOrientationPatient = [1, 0, 0, *along_column]
            file.PixelSpacing = [STEP, STEP]
            if edit:
                edit(file, number, values[::-1, ::-1, number].T)
            file.save_as(path)
        return paths

    return write


def stored(file, numbers):
    """Put whole numbers with a sign into a slice, as its slope and intercept stand."""
    file.PixelRepresentation = 1
    file.PixelData = np.rint(numbers).astype("<i2").tobytes()


def rescaled(slope, intercept):
    """An edit that writes the same HU by another slope and intercept."""

    def edit(file, number, hu):
        each = slope(number) if callable(slope) else slope
        file.RescaleSlope, file.RescaleIntercept = each, intercept
        stored(file, (hu - intercept) / each)

    return edit


def persons(write, count=3, **changes):
    """So many series of as many persons."""
    for number in range(count):
        write(f"p{number}", patient=f"P{number}", series=f"1.2.{number}", **changes)


def with_padding(value):
    values = body()
    values[:3] = values[-3:] = value
    return values


class TestSlices:
    """DICOM."""

    def test_as_they_should_be(self, series, pairs, images):
        series()
        assert "48 of 48 files are used" in pairs().said
        assert images().count > 20

    def test_some_are_missing(self, series, refusal):
        for path in series()[18:23]:
            path.unlink()
        assert "lacks slices at -22.0, -18.0, -14.0, -10.0, -6.0 mm" in refusal("xray_ct")

    @pytest.mark.parametrize("tilt", [20.0, -15.0, 25.0])
    def test_a_tilted_gantry(self, series, pairs, tilt):
        series(tilt=tilt)
        assert f"up to {abs(tilt):.1f}° away from the patient's; it was resampled" in pairs().said

    def test_every_slice_twice(self, series, pairs, images):
        series()
        alone = images().count
        series("copy")
        assert "48 slices are copies of others, and were dropped" in pairs().said
        assert images("--overwrite").count == alone

    def test_three_phases_in_one_series(self, series, refusal):
        for phase in range(3):
            series(f"{phase}", values=np.roll(body(), phase * 3, axis=0))
        assert "at the same position" in refusal("xray_ct")

    def test_one_position_for_all(self, series, refusal):
        series(edit=lambda file, *_: setattr(file, "ImagePositionPatient", [0, 0, 0]))
        assert "at the same position" in refusal("xray_ct")

    def test_a_spacing_that_differs_by_a_rounding(self, series, pairs):
        series(edit=lambda file, n, _: setattr(file, "PixelSpacing", [STEP + 1e-5 * (n == 7), 4]))
        pairs()

    def test_rows_and_columns_that_run_backwards(self, series, pairs):
        def turned(file, number, hu):
            corner = np.array(file.ImagePositionPatient, dtype=float)
            corner[:2] += STEP * (np.array(SHAPE[:2]) - 1)
            file.ImagePositionPatient = corner.tolist()
            file.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
            file.PixelData = file.pixel_array[::-1, ::-1].tobytes()

        series(edit=turned)
        pairs()

    def test_a_slope_that_differs_from_slice_to_slice(self, series, pairs):
        series(edit=rescaled(lambda number: 0.5 + 0.25 * (number % 2), -1024))
        pairs()

    @pytest.mark.parametrize("padding", [-2000, -3024])
    def test_padding_beside_the_image(self, series, pairs, images, padding):
        series(values=with_padding(padding), edit=rescaled(1, 0))
        pairs()
        images()

    def test_padding_and_an_intercept_that_was_lost(self, series, refusal):
        def lost(file, number, hu):
            file.RescaleSlope, file.RescaleIntercept = 1, 0
            stored(file, np.where(hu < -1500, hu, hu + 1024))

        series(values=with_padding(-2000), edit=lost)
        assert "is not in Hounsfield units" in refusal("lodopab")

    @pytest.mark.parametrize("value", [None, ""])
    def test_no_slope_and_intercept(self, series, refusal, value):
        def none(file, number, hu):
            file.RescaleSlope = file.RescaleIntercept = value
            if value is None:
                del file.RescaleSlope, file.RescaleIntercept
            stored(file, hu + 1024)

        series(edit=none)
        assert "--intensity_range LO HI" in refusal("lodopab")

    def test_dark_bone_on_screens(self, series, pairs):
        """MONOCHROME1 is how it is shown, not what it is."""
        series(PhotometricInterpretation="MONOCHROME1")
        pairs()

    @pytest.mark.parametrize("key", ["PixelSpacing", "ImageOrientationPatient"])
    def test_sizes_or_directions_of_zero(self, series, refusal, key):
        zeros = [0] * (2 if key == "PixelSpacing" else 6)
        series(edit=lambda file, *_: setattr(file, key, zeros))
        assert "not a DICOM file with a complete header (PixelSpacing" in refusal("lodopab")

    def test_no_preamble(self, series, pairs):
        for path in series():
            bare = pydicom.Dataset(pydicom.dcmread(path))
            pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True)
        pairs()

    def test_enhanced_ct(self, series, refusal):
        """Whose positions are within its frames, so that none stands where a slice has its own."""

        def many(file, *_):
            del file.ImagePositionPatient, file.ImageOrientationPatient, file.PixelSpacing
            file.NumberOfFrames = 40

        series(edit=many)
        assert "holds many frames (enhanced CT)" in refusal("lodopab")

    def test_slices_beside_a_volumes_file(self, series, source, refusal):
        persons(series)
        nifti(source / "p3" / "ct.nii.gz")
        assert "holds 1 files of volumes and 3 CT series" in refusal("lodopab")

    def test_folders_behind_links(self, series, source, tmp_path, pairs):
        persons(series)
        for number in range(3):
            (source / f"p{number}").rename(tmp_path / f"elsewhere{number}")
            (source / f"p{number}").symlink_to(tmp_path / f"elsewhere{number}")
        (source / "p0" / "up").symlink_to(source)
        seen = pairs("--variants", "1")
        assert "144 of 144 files are used. 3 scans of 3 patients" in seen.said
        assert len(seen.cases) == 3

    def test_one_persons_id_in_several_spellings(self, series, prepared):
        for number, spelling in enumerate(("P1", "p1", "P-1", "P1 ")):
            series(f"p{number}", patient=spelling, series=f"1.2.{number}")
        seen = prepared("lodopab")
        assert seen.refused
        assert "4 scans of 1 patients" in seen.said

    def test_a_scout_that_does_not_say_so(self, series, source, pairs):
        persons(series)
        file = pydicom.dcmread(next((source / "p0").iterdir()))
        file.ImageOrientationPatient, file.SeriesInstanceUID = [1, 0, 0, 0, 0, -1], "1.2.99"
        file.SOPInstanceUID = "1.2.77"
        file.save_as(source / "p0" / "SCOUT.dcm")
        seen = pairs("--variants", "1")
        assert "144 of 145 files are used; left out: 1 CT localizers" in seen.said
        record = json.loads((seen.cases[0].parent / "xray_ct.json").read_text())
        assert record["left_out"] == {"CT localizers": ["p0/SCOUT.dcm"]}
        assert len(seen.cases) == 3

    def test_a_scout_within_the_series(self, series, source, refusal):
        file = pydicom.dcmread(series()[0])
        file.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        file.save_as(source / "ct" / "SCOUT.dcm")
        assert "does not match" in refusal("xray_ct")

    def test_files_whose_coding_is_another_than_they_say(self, series, pairs, recwarn):
        for path in series():
            explicit, implicit = path.read_bytes(), io.BytesIO()
            bare = pydicom.Dataset(pydicom.dcmread(path))
            pydicom.dcmwrite(implicit, bare, implicit_vr=True, little_endian=True)
            end = 144 + int.from_bytes(explicit[140:144], "little")  # of the file's own header
            path.write_bytes(explicit[:end] + implicit.getvalue())
        recwarn.clear()
        pairs()
        assert [str(one.message) for one in recwarn if "pydicom" in one.filename] == []


class TestFiles:
    """NIfTI."""

    @pytest.mark.parametrize("axes", ["RAS", "LAS", "RPI", "PIR", "ASL", "SAR"])
    def test_axes_of_any_direction(self, source, pairs, axes):
        order = [next(n for n, pair in enumerate(("RL", "AP", "SI")) if c in pair) for c in axes]
        matrix = np.zeros((3, 3))
        for axis, (towards, letter) in enumerate(zip(order, axes, strict=True)):
            matrix[towards, axis] = STEP if letter in "RAS" else -STEP
        shape = tuple(SHAPE[towards] for towards in order)
        affine = centred(matrix, shape)
        nifti(source / "a.nii.gz", sampled(affine, shape), affine)
        pairs()

    def test_an_upper_case_suffix(self, source, pairs):
        for number in range(3):
            nifti(source / f"p{number}.nii.gz", body(number))
        nifti(source / "x.nii.gz", body(3)).rename(source / "D.NII.GZ")
        seen = pairs("--variants", "1")
        assert "4 of 4 files are used" in seen.said
        assert [case.name for case in seen.cases] == ["D", "p0", "p1", "p2"]

    @pytest.mark.parametrize("sub", ["sub", "Sub"])
    def test_sessions_of_one_patient(self, source, images, sub):
        for person in range(3):
            for session in (1, 2):
                name = f"{sub}-0{person}/ses-{session}/{sub}-0{person}_ses-{session}_ct.nii.gz"
                nifti(source / name, body(person + 3 * (session - 1)))
        seen = images()
        assert "6 scans of 3 patients, told apart by sub-… in their names" in seen.said
        assert len(persons_of(seen.out)) == 3

    def test_the_same_bytes_in_two_folders(self, source, images):
        for number in range(3):
            path = nifti(source / f"p{number}.nii.gz", body(number))
            (source / "copy").mkdir(exist_ok=True)
            shutil.copy(path, source / "copy")
        os.link(source / "p0.nii.gz", source / "again.nii.gz")
        seen = images()
        assert "3 of 7 files are used; left out: 4 copies of other files" in seen.said
        assert len(persons_of(seen.out)) == 3

    def test_hu_plus_1024_with_a_few_negatives(self, source, refusal):
        values = body() + 1024
        values[5:9, 5:9, 5:9] = -15
        nifti(source / "a.nii.gz", values)
        said = refusal("xray_ct")
        assert "0.0% of them near air (−1000)" in said
        assert "it is not in Hounsfield units" in said

    def test_a_window_of_8_bits(self, source, refusal):
        nifti(source / "a.nii.gz", np.clip((body() + 160) / 400 * 255 - 128, -128, 127))
        assert "is not in Hounsfield units" in refusal("lodopab")

    def test_a_header_that_does_not_say_how_it_lies(self, source, pairs):
        path = nifti(source / "a.nii.gz")
        patched(path, 252, "<2h", 0, 0)
        said = pairs(mirrored=True).said  # nibabel takes such for left to right
        assert "the header does not say how it lies, so that left and right are a guess" in said

    @pytest.mark.parametrize("degrees", [15, 40, 60])
    def test_oblique_axes(self, source, pairs, degrees):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        shape = (64, 64, 48)
        affine = centred(np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) * STEP, shape)
        nifti(source / "a.nii.gz", sampled(affine, shape), affine)
        assert "away from the patient's; it was resampled" in pairs().said

    def test_sheared_axes(self, source, pairs):
        matrix = STEP * np.array([[1, 0, 0], [0, 1, 0.36], [0, 0, 1]])
        affine = centred(matrix, (56, 64, 48))
        nifti(source / "a.nii.gz", sampled(affine, (56, 64, 48)), affine)
        assert "up to 19.8° away from the patient's; it was resampled" in pairs().said

    @pytest.mark.parametrize(
        ("place", "layout", "values", "said"),
        [
            (70, "<h", [9999], "data code 9999 not recognized"),
            (112, "<2f", [1.0, np.nan], "invalid intercept nan"),
            (42, "<3h", [9999, 9999, 9999], "its header promises"),
            (108, "<f", [0.0], "voxels begin at byte 0"),
        ],
    )
    def test_a_header_that_cannot_be(self, source, refusal, place, layout, values, said):
        patched(nifti(source / "a.nii.gz"), place, layout, *values)
        assert said in refusal("lodopab")

    @pytest.mark.parametrize(("code", "unit"), [(1, 1e-3), (3, 1e3)])
    def test_metres_and_microns(self, source, pairs, code, unit):
        affine = STRAIGHT.copy()
        affine[:3] *= unit

        def units(image):
            image.header["xyzt_units"] = code
            return image

        nifti(source / "a.nii.gz", affine=affine, edit=units)
        pairs()

    def test_nan_outside_the_field_of_view(self, source, pairs, images, refusal):
        values, index = body().astype(np.float32), np.indices(SHAPE)
        outside = (index[0] - 27.5) ** 2 + (index[1] - 23.5) ** 2 > 23.6**2
        image = nibabel.nifti1.Nifti1Image(np.where(outside, np.nan, values), STRAIGHT)
        source.mkdir()
        nibabel.loadsave.save(image, source / "a.nii.gz")
        assert f"a.nii.gz has {outside.sum()} NaN voxels" in refusal("xray_ct")
        assert f"{outside.sum()} voxels (" in pairs("--nan_as_air").said
        images("--nan_as_air")

    def test_one_slice_as_a_volume(self, source, refusal):
        nifti(source / "a.nii.gz", body()[:, :, 24:25])
        assert "a.nii.gz is 4 mm deep and 224 mm long" in refusal("xray_ct")

    def test_a_name_whose_bytes_are_no_text(self, source, images):
        path = nifti(source / "a.nii.gz")
        path.rename(os.fsdecode(os.fsencode(source) + b"/\xe9.nii.gz"))
        assert "\\udce9.nii.gz: 48 slices" in images().said

    def test_hidden_folders(self, source, images):
        for number in range(3):
            nifti(source / f"p{number}.nii.gz", body(number))
        nifti(source / ".Trash" / "old.nii.gz", body(4))
        assert "3 of 3 files are used. Each of 3 files" in images().said

    def test_label_maps_beside(self, source, prepared):
        for number in range(3):
            nifti(source / f"p{number}.nii.gz", body(number) + 1000)
            nifti(source / f"p{number}_seg.nii.gz", body() > -500)
        seen = prepared("lodopab", "--intensity_range", "0", "4000")
        assert "3 of 6 files are used; left out: 3 label maps by their names" in seen.said
        record = json.loads((seen.out / "made_from.json").read_text())
        labels = [f"p{number}_seg.nii.gz" for number in range(3)]
        assert record["left_out"] == {"label maps by their names": labels}

    def test_a_pair_of_other_makers_formats(self, source, images):
        import SimpleITK

        for number, suffix in enumerate((".nrrd", ".mha", ".nii.gz")):
            path = nifti(source / f"p{number}.nii.gz", body(number))
            if suffix != ".nii.gz":
                SimpleITK.WriteImage(
                    SimpleITK.ReadImage(str(path)), str(source / f"p{number}{suffix}")
                )
                path.unlink()
        nibabel.save(
            nibabel.freesurfer.mghformat.MGHImage(body(3).astype(np.float32), STRAIGHT),
            source / "p3.mgz",
        )
        assert "4 of 4 files are used" in images().said


def persons_of(folder):
    """Whose images are in a split, once nobody is sure to be in two."""
    splits = [set(path.read_text().split()) for path in folder.glob("patient_ids_rand_*.csv")]
    assert sum(map(len, splits)) == len(set().union(*splits))
    return set().union(*splits)


GRID = centred(np.diag([3.0] * 3), (50, 58, 48))
LESION = np.array([10.0, -12.0, 5.0])  # mm to the right, anterior and superior
ILL = 6.0  # mm, its radius


def brain(person=0):
    """(50, 58, 48) of an ellipsoid of about 1 l with folds of its own, in air."""
    index = np.stack(np.meshgrid(*map(np.arange, (50, 58, 48)), indexing="ij"), axis=-1)
    places = index @ GRID[:3, :3].T + GRID[:3, 3]
    x, y, z = np.moveaxis(places, -1, 0)
    folds = np.random.default_rng(person).uniform(0, 6, 3)
    values = 600 + 150 * np.sin(x / 14 + folds[0]) * np.sin(y / 17 + folds[1]) * np.sin(
        z / 15 + folds[2]
    )
    inside = (x / 60) ** 2 + (y / 72) ** 2 + (z / 55) ** 2 < 1
    lesion = ((places - LESION) ** 2).sum(-1) < ILL**2
    return np.where(inside, values, 0), inside, lesion


def volume(path, values, affine=GRID):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.nifti1.Nifti1Image(np.asarray(values, dtype=np.float32), affine)
    nibabel.loadsave.save(image, path)


@pytest.fixture
def heads(prepared):
    """The persons of every list that `prepare brain` writes, once what it wrote is right."""

    def run(*options):
        seen = prepared("brain", *options)
        assert not seen.refused, seen.said
        scans = seen.out / "Data"
        for path in scans.rglob("*_mask.nii.gz"):
            litres = np.asarray(nibabel.loadsave.load(path).dataobj).astype(bool).sum() / 1e6
            assert litres == pytest.approx(4 / 3 * np.pi * 60 * 72 * 55 / 1e6, rel=0.03)
        for path in scans.rglob("*_seg.nii.gz"):
            mask = nibabel.loadsave.load(
                str(path).replace("_seg", "_mask").replace("/seg/", "/mask/")
            )
            labels = nibabel.loadsave.load(path)
            inside, ill = (np.asarray(one.dataobj) > 0 for one in (mask, labels))
            away = middle(labels, ill) - middle(mask, inside)
            np.testing.assert_allclose(away, LESION, atol=MILLIMETRE)
        lists = {}
        for path in (scans / "splits").glob("*.csv"):
            with path.open() as stream:
                names = [row.get("img_name") for row in csv.DictReader(stream)]
            lists[path.stem] = {name for name in names if name}
        return SimpleNamespace(said=seen.said, lists=lists)

    return run


class TestHeads:
    """MRI."""

    def healthy(self, source, count=3):
        for person in range(count):
            volume(source / f"IXI{person:03d}-Guys-0001-T1.nii.gz", brain(person)[0])

    @pytest.mark.long
    def test_names_of_brats_2023(self, source, heads):
        self.healthy(source)
        for person in range(4):
            name = f"BraTS-GLI-0000{person}-000"
            values, _, lesion = brain(10 + person)
            for contrast in ("t1n", "t1c", "t2w", "t2f"):
                volume(source / name / f"{name}-{contrast}.nii.gz", values)
            volume(source / name / f"{name}-seg.nii.gz", lesion)
        seen = heads()
        assert "7 t1 volumes, 4 of them segmented" in seen.said
        assert "12 of other contrasts" in seen.said
        healthy = set().union(*(names for of, names in seen.lists.items() if of.startswith("IXI")))
        assert not any("BraTS" in name for name in healthy)
        assert sum("BraTS" in name for names in seen.lists.values() for name in names) == 4

    def test_patients_alone(self, source, refusal):
        name = "BraTS-GLI-00000-000"
        volume(source / f"{name}-t1n.nii.gz", brain()[0])
        volume(source / f"{name}-seg.nii.gz", brain()[2])
        assert "have a segmentation of lesions, expected healthy ones to train on" in refusal(
            "brain"
        )

    @pytest.mark.long
    def test_sessions_of_one_person(self, source, heads):
        for person in range(1, 5):
            for session in (1, 2):
                name = f"sub-0{person}_ses-{session}_T1w.nii.gz"
                volume(source / f"sub-0{person}" / name, brain(person)[0] + session * (brain()[1]))
        seen = heads()
        assert "4 persons have several volumes, which stay in one split" in seen.said
        persons = sorted(
            person for names in seen.lists.values() for person in {name[:6] for name in names}
        )
        assert persons == [f"sub-0{person}" for person in range(1, 5)]

    @pytest.mark.long
    def test_labels_beside(self, source, heads):
        for person in range(1, 6):
            values, inside, lesion = brain(person)
            name = f"sub-0{person}"
            volume(source / f"{name}_T1w.nii.gz", values)
            volume(source / f"{name}_dseg.nii.gz", inside * 2.0 + lesion)
            volume(source / f"{name}_label-GM_probseg.nii.gz", inside * 0.5)
            if person > 3:
                volume(source / f"{name}_T1w_label-lesion_roi.nii.gz", lesion)
            if person == 1:
                volume(source / f"{name}_space-T1w_desc-brain_mask.nii.gz", inside)
        seen = heads()
        assert "5 t1 volumes, 2 of them segmented" in seen.said
        assert "10 label maps of tissue" in seen.said
        assert "mask from sub-01_space-T1w_desc-brain_mask.nii.gz" in seen.said

    def test_a_mask_of_other_axes(self, source, heads):
        """The same places in the patient, stored from the other side and 9 mm off."""
        for person in range(5):
            values, inside, _ = brain(person)
            volume(source / f"s{person}_t1.nii.gz", values)
            turned = GRID @ np.diag([-1, 1, 1, 1])
            turned[:3, 3] += GRID[:3, 0] * 49 + [0, 9, 0]
            moved = np.zeros_like(inside)
            moved[:, :-3] = inside[:, 3:]
            volume(source / f"s{person}_mask.nii.gz", moved[::-1], turned)
        assert "LOOK AT" not in heads().said

    def test_a_mask_that_ends_where_its_file_does(self, source, prepared):
        for person in range(5):
            values, inside, _ = brain(person)
            volume(source / f"s{person}_t1.nii.gz", values)
            shifted = GRID.copy()
            shifted[1, 3] += 36
            volume(source / f"s{person}_mask.nii.gz", inside[:, 12:], shifted)
        said = prepared("brain").said
        assert "LOOK AT s0_t1.nii.gz: the mask touches the edge of s0_mask.nii.gz" in said

    def test_a_mask_of_somebody_else(self, source, prepared):
        for person in range(5):
            values, inside, _ = brain(person)
            volume(source / f"s{person}_t1.nii.gz", values)
            volume(source / f"s{person}_mask.nii.gz", np.roll(inside, 7, axis=1))
        assert (
            "of the mask lie over background: it may be of another volume" in prepared("brain").said
        )

    def test_a_mask_beside_its_volume(self, source, refusal):
        for person in range(5):
            values, inside, _ = brain(person)
            volume(source / f"s{person}_t1.nii.gz", values)
            far = GRID.copy()
            far[:3, 3] += 500
            volume(source / f"s{person}_mask.nii.gz", inside, far)
        assert "lies beside" in refusal("brain")

    @pytest.mark.long
    def test_a_background_of_nan(self, source, heads):
        for person in range(3):
            values, inside, _ = brain(person)
            volume(source / f"s{person}_t1.nii.gz", np.where(inside, values, np.nan))
        assert "voxels are NaN, and are taken for 0" in heads().said

    @pytest.mark.long
    def test_files_that_are_called_by_their_contrast(self, source, heads):
        for person in range(4):
            volume(source / f"sub{person}" / "T1.nii.gz", brain(person)[0])
        assert "4 t1 volumes" in heads().said


@pytest.fixture
def layout(source, prepared):
    """Makes pairs of the body of three persons in a layout, and no note of how they were made."""

    def make(name):
        for person in range(3):
            nifti(source / f"p{person}.nii.gz", body(person))
        seen = prepared("xray_ct", "--layout", name, "--xray_size", "48")
        assert not seen.refused, seen.said
        (seen.out / "xray_ct.json").unlink()
        side = float(re.search(r"voxels of ([\d.]+) mm", seen.said)[1])
        return XrayCtSettings(root=seen.out, ct_size=48, xray_size=48, cache_gb=0), side

    return make


def check_read(settings, side):
    """The volumes of a set and their views as a study reads them."""
    low, high = settings.hu_window
    for split in SPLITS:
        for sample in XrayCtVolumes(settings, split):
            hu = sample["ct"][0].astype(np.float64) * (high - low) + low
            weights = np.clip((hu + 1000) / 1040, 0, 1), np.clip(hu - 100, 0, 900)
            places = [
                [np.average(axis, weights=one) for axis in np.indices(hu.shape)] for one in weights
            ]
            down, back, left = (np.array(places[1]) - places[0]) * side
            np.testing.assert_allclose([-left, -back, -down], BONE, atol=MILLIMETRE)
            assert np.median(hu[hu > -300]) == pytest.approx(40, abs=HU)
            assert hu.max() == pytest.approx(1000, abs=HU)
            for view, axis in zip(sample["xrays"], (1, 2), strict=True):
                assert np.corrcoef(view.ravel(), (hu + 1000).sum(axis).ravel())[0, 1] > 0.9


def edit_arrays(root, keys, change):
    for path in root.glob("*/ct_xray_data.h5"):
        with h5py.File(path, "r+") as file:
            for key in keys:
                values = change(file[key][()])
                del file[key]
                file[key] = values


class TestPairs:
    """Sets of X-rays and volumes, as others made them."""

    @pytest.mark.parametrize("name", ["x2ct_gan", "nifti_png", "diffx2ct"])
    def test_as_they_should_be(self, layout, name):
        check_read(*layout(name))

    def test_volumes_in_8_bits(self, layout):
        settings, _ = layout("x2ct_gan")
        edit_arrays(settings.root, ["ct"], lambda ct: np.clip(ct / 2524 * 255, 0, 255).astype("u1"))
        with pytest.raises(DataError, match=r"ct, less 1024, has values .* not in Hounsfield"):
            XrayCtVolumes(settings, "train")[0]

    def test_views_from_0_to_1(self, layout):
        settings, _ = layout("x2ct_gan")
        edit_arrays(settings.root, ["xray1", "xray2"], lambda view: (view / 255).astype("f4"))
        with pytest.raises(DataError, match=r"xray1 has values from 0 to .*, expected 0 to 255"):
            XrayCtVolumes(settings, "train")[0]

    def test_inverted_views(self, layout, caplog):
        settings, side = layout("x2ct_gan")
        edit_arrays(settings.root, ["xray1", "xray2"], lambda view: 255 - view)
        XrayCtVolumes(settings, "train")
        assert "with data.xray_invert: true, as bright and dark are exchanged" in caplog.text
        check_read(settings.model_copy(update={"xray_invert": True}), side)

    @pytest.mark.parametrize("change", [lambda hu: hu + 1024, lambda hu: (hu + 160) / 400 * 255])
    def test_volumes_on_another_scale(self, layout, change):
        settings, _ = layout("nifti_png")
        for path in settings.root.glob("*/*.nii.gz"):
            image = nibabel.loadsave.load(path)
            values = np.clip(change(np.asarray(image.dataobj)), 0, 4095).astype("i2")
            nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(values, image.affine), path)
        with pytest.raises(DataError, match="not in Hounsfield units"):
            XrayCtVolumes(settings, "train")[0]

    def test_tensors_in_half_precision(self, layout):
        settings, side = layout("diffx2ct")
        for path in (settings.root / "CT_pt").glob("*.pt"):
            torch.save(torch.load(path, weights_only=True).bfloat16(), path)
        check_read(settings, side)

    @pytest.mark.parametrize("form", ["excel", "semicolons", "tabs"])
    def test_a_list_that_a_spreadsheet_saved(self, layout, form):
        settings, side = layout("nifti_png")
        path = settings.root / "splits.csv"
        text = path.read_text()
        delimiter = {"excel": ",", "semicolons": ";", "tabs": "\t"}[form]
        path.write_bytes(b"\xef\xbb\xbf" + text.replace(",", delimiter).encode())
        check_read(settings, side)
        for row in text.split()[1:]:
            case, _, split = row.split(",")
            assert XrayCtVolumes(settings, split).name(0) == case
