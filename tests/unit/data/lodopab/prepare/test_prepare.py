import json
import os

import numpy as np
import pytest

from data.lodopab.dataset import LodopabDataset, LodopabSettings
from data.lodopab.patients import read_patients
from data.lodopab.prepare.prepare import prepare_lodopab
from data.lodopab.prepare.settings import LodopabPrepareSettings
from protocol.errors import DataError


class Run:
    """Prepares with small sizes, and keeps what was said."""

    def __init__(self, tmp_path) -> None:
        self.out = tmp_path / "out" / "set"
        self.said: list[str] = []
        self.progress: list[tuple[int, int]] = []

    def __call__(self, source, **changes):
        settings = LodopabPrepareSettings(
            source=source, out=self.out, image_size=24, angles=12, gap=1, **changes
        )
        prepare_lodopab(settings, self.said.append, lambda *at: self.progress.append(at))
        return {
            split: LodopabDataset(LodopabSettings(root=self.out), split)
            for split in ("train", "validation", "test")
        }


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_one_scan_becomes_three_slabs_and_says_so(tmp_path, nifti, head, run):
    splits = run(nifti(tmp_path / "ct.nii.gz", head))
    assert {split: len(dataset) for split, dataset in splits.items()} == {
        "train": 10, "validation": 1, "test": 1,
    }  # fmt: skip
    assert run.said[:2] == [
        "1 file is used.",
        "ct.nii.gz: 16 slices of 20×24, 2 of them empty and left out",
    ]
    assert "One patient only" in run.said[2]
    assert run.said[3] == "10 train, 1 validation, 1 test images"
    assert run.progress[-1] == (12, 12)
    assert splits["train"].geometry.detectors == 35
    assert [path.name for path in run.out.parent.iterdir() if path.is_dir()] == ["set"]


def test_images_are_upright_and_in_normalised_attenuation(tmp_path, nifti, head, run):
    image = run(nifti(tmp_path / "ct.nii.gz", head))["train"][3]["image"][0]
    assert image.shape == (24, 24)
    assert image[12, 4] == pytest.approx((0.9 * 19.98 + 20) / 81.35858, rel=0.02)  # bone
    assert image[12, 18] == pytest.approx((0.04 * 19.98 + 20) / 81.35858, rel=0.02)  # muscle
    assert image[5, 12] == pytest.approx((-0.1 * 19.98 + 20) / 81.35858, rel=0.02)  # fat in front
    assert image[0].max() < 0.001  # padded with air


def test_sinograms_are_of_their_images(tmp_path, nifti, head, run):
    dataset = run(nifti(tmp_path / "ct.nii.gz", head), photons=1e7)["train"]
    geometry = dataset.geometry
    at = (np.arange(24) + 0.5) * geometry.pixel_width - geometry.image_half_width
    cells = (np.arange(35) + 0.5) * geometry.cell_width - geometry.detector_half_width
    for index in range(len(dataset)):
        image, sinogram = dataset[index]["image"][0], dataset[index]["sinogram"][0]
        down, right = image.sum(1) @ at / image.sum(), image.sum(0) @ at / image.sum()
        # The centre of mass of a projection is the projection of the centre of mass.
        expected = down * np.cos(geometry.angle_values) + right * np.sin(geometry.angle_values)
        found = sinogram @ cells / sinogram.sum(axis=1)
        np.testing.assert_allclose(found, expected, atol=0.02 * geometry.pixel_width)


def test_a_folder_of_scans_is_split_by_patient(tmp_path, nifti, head, run):
    for number in range(5):
        (tmp_path / "scans").mkdir(exist_ok=True)
        scan = np.where(head > -1000, head + 20 * number, head).astype(np.float32)
        nifti(tmp_path / "scans" / f"{number}.nii.gz", scan)
    splits = run(tmp_path / "scans", split=(3, 1, 1))
    patients = {split: read_patients(run.out, split) for split in splits}
    ids = {split: set(names) for split, names in patients.items()}
    assert [len(ids[split]) for split in ("train", "validation", "test")] == [3, 1, 1]
    assert len(set.union(*ids.values())) == 5
    assert len(splits["train"]) == 42
    assert len(set(patients["train"][:8])) > 1  # shuffled
    muscle = {
        (patient, round(float(dataset[i]["image"][0, 12, 18]), 3))
        for split, dataset in splits.items()
        for i, patient in enumerate(patients[split])
    }
    assert len(muscle) == 5  # each image lies beside its own patient's id


def test_a_dicom_folder_gives_the_same_as_a_nifti_file(tmp_path, nifti, dicom, head, run):
    dicom(tmp_path / "series", head)
    from_dicom = run(tmp_path / "series")["train"]
    images = [from_dicom[i]["image"] for i in range(10)]
    from_nifti = run(nifti(tmp_path / "ct.nii.gz", head), overwrite=True)["train"]
    np.testing.assert_allclose(images, [from_nifti[i]["image"] for i in range(10)], atol=1e-6)


def test_no_patients_own_id_is_written_anywhere(tmp_path, dicom, head, run):
    dicom(tmp_path / "series", head, patient="MUELLER^ANNA")
    run(tmp_path / "series")
    for path in run.out.iterdir():
        assert b"MUELLER" not in path.read_bytes()


def test_an_intensity_range_serves_scans_not_in_hounsfield_units(tmp_path, nifti, head, run):
    scaled = nifti(tmp_path / "ct.nii.gz", (head + 1000) / 10)
    with pytest.raises(DataError, match=r"ct.nii.gz has values from 0 to 190, .*--intensity_range"):
        run(scaled)
    image = run(scaled, intensity_range=(0, 400))["train"][3]["image"][0]
    assert image[12, 18] == pytest.approx(104 / 400, rel=0.01)


def test_a_smaller_field_of_view_cuts_the_middle_out(tmp_path, nifti, head, run):
    image = run(nifti(tmp_path / "ct.nii.gz", head), field_of_view=16.0)["train"][3]["image"][0]
    assert image.min() > 0.2


def test_the_seed_decides_noise_and_order(tmp_path, nifti, head, run):
    source = nifti(tmp_path / "ct.nii.gz", head)

    def fingerprint(seed):
        dataset = run(source, seed=seed, overwrite=True)["train"]
        return np.stack([dataset[i]["sinogram"] for i in range(len(dataset))])

    first = fingerprint(0)
    np.testing.assert_array_equal(first, fingerprint(0))
    assert not np.array_equal(first, fingerprint(1))


def test_every_scan_is_checked_before_any_is_simulated(tmp_path, nifti, head, run):
    (tmp_path / "scans").mkdir()
    for name in ("a", "b", "c", "z"):
        path = nifti(tmp_path / "scans" / f"{name}.nii.gz", head)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"z.nii.gz is truncated"):
        run(tmp_path / "scans")
    assert run.progress == []
    assert not run.out.parent.exists()


def test_a_scan_that_breaks_midway_leaves_nothing_behind(tmp_path, nifti, head, run):
    (tmp_path / "scans").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        path = nifti(tmp_path / "scans" / f"{name}.nii.gz", head + number)

    def break_one(done, total):
        if path.exists():
            path.unlink()

    settings = LodopabPrepareSettings(
        source=tmp_path / "scans", out=run.out, image_size=24, angles=12, seed=1
    )
    with pytest.raises(DataError, match=r"no file .*c.nii.gz"):
        prepare_lodopab(settings, print, break_one)
    assert [path.name for path in run.out.parent.iterdir()] == [".set.lock"]


@pytest.mark.parametrize("name", ["gone.nii.gz", "notes.txt"])
def test_a_source_that_is_no_scan_is_named(tmp_path, run, name):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=name):
        run(tmp_path / name)


def test_a_scan_of_air_is_refused(tmp_path, nifti, head, run):
    with pytest.raises(DataError, match="of them near air"):
        run(nifti(tmp_path / "ct.nii.gz", np.full_like(head, -1000)))


def test_a_taken_folder_is_refused_before_anything_is_read(tmp_path, run):
    run.out.mkdir(parents=True)
    (run.out / "file").write_text("x")
    with pytest.raises(DataError, match="exists already"):
        run(tmp_path / "gone.nii.gz")


def test_the_record_says_what_it_was_made_from(tmp_path, nifti, head, run):
    run(nifti(tmp_path / "ct.nii.gz", head), seed=7)
    record = json.loads((run.out / "made_from.json").read_text())
    assert record["prepared"]["seed"] == 7
    assert record["patients"] == {str(number): "ct.nii.gz" for number in range(3)}
