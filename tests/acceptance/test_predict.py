"""`predict`: from each kind of input to each format of result, in folders, killed, and by folds."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from unittest import mock

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from models.families.fbp_window import FbpProgram
from models.registry import load_family
from orchestrator.__main__ import main
from protocol.errors import DataError, SettingsError, UserError
from protocol.files import sha256_of
from protocol.messages import load_plan, save_message
from tests.families.anomaly_toy import TINY_BRAINS
from tests.given_scans import LESION, OBLIQUE, head, middle_of, write_mr, write_xray
from tests.made_study import MadeStudy
from tests.studio import ROOT
from tests.torch_alone import run_with_torch_alone
from worker.calls.export import export
from worker.calls.predict import predict
from worker.training.checkpoint import save_checkpoint

ANOMALY_TOY = f"{ROOT}/tests/families/anomaly_toy.py:AnomalyToy"
SCANS = {"image_size": 24, "angles": 36, "photons": 4096, "train": 4, "validation": 2, "test": 3}
# Of residuals as they are: what a blur leaves of a small lesion, a median would take away.
FOUND = {
    "timesteps": [200],
    "erosion": 3,
    "median_size": 1,
    "largest_dropped": 1,
    "threshold": 0.15,
}


def checkpoint(path, family, recipe, data, seed=0, shift=0.0):
    """A trial's checkpoint of an untrained model, its weights moved by `shift`."""
    loaded = load_family(family)
    made = loaded(loaded.Settings.model_validate(recipe), loaded.Data.model_validate(data))
    made.dataset("train")  # which makes the data
    torch.manual_seed(seed)
    model = made.build_model()
    with torch.no_grad():
        for weight in model.parameters():
            weight += shift
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "model": model.state_dict(),
        "family": family,
        "recipe": {"epochs": 2, "batch_size": 4, **recipe},
        "data": data,
        "seed": 5,
        "epoch": 2,
    }
    save_checkpoint(path, content)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def scans(place):
    """A data set of sinograms, and two folds' checkpoints of a learned window."""
    data = {"root": str(place / "scans"), "generate": SCANS}
    for fold in (0, 1):
        checkpoint(place / f"fold_{fold}.pth", "fbp_window", {}, data, shift=0.25 * fold)
    return place / "scans"


@pytest.fixture(scope="module")
def brains(place):
    """A checkpoint of a blur that is trained on brains of 12.5 × 6 × 6 mm."""
    data = {"root": str(place / "brains"), **TINY_BRAINS}
    return checkpoint(place / "brain.pth", ANOMALY_TOY, {}, data)


@pytest.fixture(scope="module")
def chests(place):
    data = {
        "root": str(place / "chests"),
        "ct_size": 12,
        "xray_size": 32,
        "generate": {"size": 12, "xray_size": 32, "train": 2, "validation": 1, "test": 1},
    }
    return checkpoint(
        place / "chest.pth", "direct64", {"width": 8, "volume_width": 8}, data, seed=1
    )


@pytest.fixture
def run(tmp_path):
    """The call, into `out`; what it told last stands in `told`."""

    def run(models, given, **changes):
        progress = tmp_path / "progress"
        models = models if isinstance(models, list) else [models]
        asked = {"out": str(tmp_path / "out"), "inputs": [str(given)], "progress": str(progress)}
        answer = predict(checkpoints=[str(path) for path in models], **(asked | changes))
        words = [json.loads(line) for line in progress.read_text().splitlines()]
        return answer | {"said": [word["say"] for word in words if "say" in word]}

    return run


def sinograms(scans):
    with h5py.File(scans / "observation_test_000.hdf5") as file:
        return file["data"][:]


def results(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith((".", "predictions")))


# ---------------------------------------------------------------------------- sinograms


@pytest.mark.long
def test_an_export_predicts_elsewhere_what_is_predicted_here(scans, place, run, tmp_path):
    run(place / "fold_1.pth", scans, format="npy")
    here = np.load(tmp_path / "out" / "observation_test_000_image.npy")
    away = tmp_path / "away"
    away.mkdir()
    export(checkpoint=str(place / "fold_1.pth"), folder=str(away))
    np.save(away / "scans.npy", sinograms(scans))
    code, told = run_with_torch_alone(
        tmp_path, away / "predict.py", str(away / "scans.npy"), str(away / "images.npy")
    )
    assert code == 0, told
    there = np.load(away / "images.npy")[:, 0]
    assert np.abs(there - here).max() <= 1e-5 * np.ptp(here)


def test_each_format_holds_the_same_images(scans, place, run, tmp_path):
    model, out = place / "fold_0.pth", tmp_path / "out"
    for kind in ("npy", "hdf5", "nii.gz", "png"):
        answer = run(model, scans, format=kind, out=str(out / kind))
        assert (answer["made"], answer["left_out"]) == (1, {})
    images = np.load(out / "npy" / "observation_test_000_image.npy")
    assert images.shape == (3, 24, 24)
    with h5py.File(scans / "ground_truth_test_000.hdf5") as file:
        truth = file["data"][:]
    assert np.abs(images - truth).mean() < 0.03 < truth.std()
    with h5py.File(out / "hdf5" / "observation_test_000_image.hdf5") as file:
        np.testing.assert_array_equal(file["data"][:], images)
    nifti = nibabel.loadsave.load(out / "nii.gz" / "observation_test_000_image.nii.gz")
    np.testing.assert_allclose(nifti.header.get_zooms(), (260 / 24, 260 / 24, 1), rtol=1e-5)
    # Row 0 is anterior, column 0 the patient's right.
    np.testing.assert_array_equal(np.asarray(nifti.dataobj)[::-1, ::-1].transpose(2, 1, 0), images)
    shown = np.asarray(Image.open(out / "png" / "observation_test_000_image_0002.png")) / 65535
    np.testing.assert_allclose(shown, images[2].clip(0, 1), atol=1e-4)


def test_the_only_result_may_be_a_file_and_keeps_the_input_s_axes(scans, place, run, tmp_path):
    np.save(tmp_path / "one.npy", sinograms(scans)[1])
    out = tmp_path / "image.npy"
    run(place / "fold_0.pth", tmp_path / "one.npy", out=str(out), into_file=True, format="npy")
    whole = run(place / "fold_0.pth", scans, format="npy")
    assert whole["made"] == 1
    all_of_them = np.load(tmp_path / "out" / "observation_test_000_image.npy")
    np.testing.assert_allclose(np.load(out), all_of_them[1], atol=1e-6)
    with pytest.raises(SettingsError, match="3 results; name a folder"):
        run(place / "fold_0.pth", scans, out=str(tmp_path / "x.png"), into_file=True, format="png")


def test_folds_are_averaged(scans, place, run, tmp_path):
    models = [place / "fold_0.pth", place / "fold_1.pth"]
    images = []
    for name, chosen in (("a", models[0]), ("b", models[1]), ("mean", models)):
        run(chosen, scans, format="npy", out=str(tmp_path / name))
        images.append(np.load(tmp_path / name / "observation_test_000_image.npy"))
    one, other, mean = images
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_allclose(mean, (one + other) / 2, atol=1e-6)


def test_half_as_many_are_run_at_once_where_memory_runs_out(scans, place, run, monkeypatch):
    whole = FbpProgram.forward

    def narrow(self, sinogram):
        if len(sinogram) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, sinogram)

    monkeypatch.setattr(FbpProgram, "forward", narrow)
    answer = run(place / "fold_0.pth", scans, batch=3)
    assert answer["batch"] == 1
    assert answer["last"]["images"] == 3
    assert answer["said"] == ["memory ran out with 3 at once: going on with 1"]

    def never(self, sinogram):
        raise MemoryError

    monkeypatch.setattr(FbpProgram, "forward", never)
    with pytest.raises(UserError, match="--device: the memory of cpu does not suffice"):
        run(place / "fold_0.pth", scans, overwrite=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s.T, r"35×36, which is \(detectors, angles\) .* transpose them"),
        (lambda s: s[::2], "18 angles and 35 detector cells, but the model was trained for 36 and"),
        (lambda s: s * 81.3586, "as line integrals of attenuation have, .* divide by 81.35"),
        (lambda s: np.rint(4096 * np.exp(-81.3586 * s)), "holds numbers of photons"),
        (lambda s: np.exp(-81.3586 * s), "holds shares of photons"),
        (lambda s: s - 0.1, "values down to -0.1.*line integrals are 0 or more"),
        (lambda s: np.where(s == s.max(), np.nan, s), "has 1 NaN or infinite values of 1260"),
        (lambda s: s > 0, "holds bool values"),
        (lambda s: s[0], r"has the shape 35, expected one sinogram \(angles, detectors\)"),
    ],
)
def test_what_is_no_sinogram_of_the_scan_is_told_in_a_sentence(
    scans, place, run, tmp_path, spoil, words
):
    np.save(tmp_path / "bad.npy", spoil(sinograms(scans)[0].astype(np.float64)))
    with pytest.raises(DataError, match=rf"bad\.npy.*{words}"):
        run(place / "fold_0.pth", tmp_path / "bad.npy")


# ---------------------------------------------------------------------------- folders and kills


@pytest.fixture
def folder(scans, tmp_path):
    """Three sound files, and a damaged one."""
    folder = tmp_path / "given"
    (folder / "deeper").mkdir(parents=True)
    for name, sinogram in zip(("a", "deeper/b", "c"), sinograms(scans), strict=True):
        np.save(folder / f"{name}.npy", sinogram)
    (folder / "bad.npy").write_bytes((folder / "a.npy").read_bytes()[:200])
    return folder


def test_one_bad_file_is_told_and_the_rest_done_once(place, run, folder, tmp_path):
    model, out = place / "fold_0.pth", tmp_path / "out"
    answer = run(model, folder)
    assert (answer["made"], list(answer["left_out"])) == (3, ["bad"])
    assert "bad.npy is truncated or damaged" in answer["left_out"]["bad"]
    assert results(out) == ["a_image.npy", "c_image.npy", "deeper"]
    record = json.loads((out / "predictions.json").read_text())
    assert record["left_out"] == answer["left_out"]
    assert record["checkpoints"] == answer["checkpoints"]
    before = (out / "a_image.npy").stat().st_mtime_ns
    again = run(model, folder)
    assert (again["made"], again["kept"]) == (0, 3)
    assert (out / "a_image.npy").stat().st_mtime_ns == before
    (out / "a_image.npy").unlink()
    np.save(folder / "c.npy", np.load(folder / "a.npy"))
    assert run(model, folder)["made"] == 2
    assert run(place / "fold_1.pth", folder)["made"] == 3, "of another checkpoint"
    assert run(place / "fold_1.pth", folder, overwrite=True)["made"] == 3


def test_a_run_that_is_killed_goes_on_where_it_was(place, run, folder, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    out = tmp_path / "out"
    # Written, and killed before the record knows of it.
    monkeypatch.setattr("worker.calls.prediction.record.append_line", kill)
    with pytest.raises(Killed):
        run(place / "fold_0.pth", folder)
    monkeypatch.undo()
    (out / ".a_image.npy.1.partial").write_bytes(b"half")
    (out / ".a_image.npy.999999999.partial").write_bytes(b"half")
    answer = run(place / "fold_0.pth", folder)
    assert (answer["made"], answer["kept"]) == (3, 0)
    assert not (out / ".a_image.npy.999999999.partial").exists()
    lines = (out / "predictions.jsonl").read_text()
    (out / "predictions.jsonl").write_text(lines[:-20])  # torn by a kill
    answer = run(place / "fold_0.pth", folder)
    assert (answer["made"], answer["kept"]) == (1, 2)


def test_a_folder_with_other_things_is_left_alone(place, run, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(SettingsError, match=r"--out: .* holds thesis\.tex and no predictions"):
        run(place / "fold_0.pth", folder)


# ---------------------------------------------------------------------------- brains


def evaluated(model):
    return [{"sha256": sha256_of(model), "settings": FOUND, "source": "evaluation.json"}]


def test_lesions_are_found_in_the_space_of_the_input(brains, run, tmp_path):
    values = head(OBLIQUE, (64, 72, 22))
    nibabel.loadsave.save(nibabel.nifti1.Nifti1Image(values, OBLIQUE), tmp_path / "p1_t2.nii.gz")
    answer = run(brains, tmp_path / "p1_t2.nii.gz", postprocessing=evaluated(brains))
    assert results(tmp_path / "out") == [
        f"p1_t2_{name}.nii.gz" for name in ("lesions", "reconstruction", "residual")
    ]
    made = {}
    for name in ("lesions", "reconstruction", "residual"):
        image = nibabel.loadsave.load(tmp_path / "out" / f"p1_t2_{name}.nii.gz")
        np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-4)
        assert image.shape == values.shape
        made[name] = np.asarray(image.dataobj, dtype=np.float32)
    assert np.linalg.norm(middle_of(made["lesions"] > 0, OBLIQUE) - LESION) < 6.0
    inside = made["reconstruction"] > 0
    assert 0.75 < inside.sum() / (values > 0).sum() < 1.1
    error = np.abs(made["reconstruction"] - values)[inside & (values < 500)]
    assert np.median(error) < 40, "in the input's own intensities"
    assert made["residual"][made["lesions"] > 0].mean() > 2 * made["residual"][inside].mean()
    assert "threshold 0.15" in answer["notes"][-1]
    assert answer["last"]["lesions_ml"] == pytest.approx(9.2, rel=0.5)  # the ball's volume


def test_without_an_evaluation_of_the_checkpoint_the_default_is_told(brains, run, tmp_path):
    image = nibabel.nifti1.Nifti1Image(head(OBLIQUE, (64, 72, 22)), OBLIQUE)
    nibabel.loadsave.save(image, tmp_path / "p.nii")
    other = [evaluated(brains)[0] | {"sha256": "0" * 64}]
    answer = run(brains, tmp_path / "p.nii", postprocessing=other)
    assert "LESIONS ARE A GUESS: the trial's evaluation.json is of an earlier checkpoint" in str(
        answer["notes"]
    )
    given = run(brains, tmp_path / "p.nii", options={"threshold": 2.0}, format="nii")
    assert given["last"]["threshold"] == 2.0
    assert given["last"]["lesions_ml"] == 0


def test_a_series_comes_back_as_series_that_lie_where_it_does(brains, run, tmp_path):
    affine = np.array([[0, -3.0, 0, 96], [-3, 0, 0, 96], [0, 0, 6, -60], [0, 0, 0, 1.0]])
    shape = (64, 64, 20)
    write_mr(tmp_path / "in" / "p7", affine, shape, head(affine, shape))
    spoiled = pydicom.dcmread(tmp_path / "in" / "p7" / "IM000.dcm")
    spoiled.PixelSpacing = ["0", "0"]
    spoiled.save_as(tmp_path / "in" / "torn.dcm")
    answer = run(brains, tmp_path / "in", format="dicom", postprocessing=evaluated(brains))
    assert list(answer["left_out"]) == ["torn.dcm"]
    assert answer["said"][0].startswith("LEFT OUT torn.dcm: ")
    made = tmp_path / "out" / "p7_lesions"
    assert results(tmp_path / "out") == [
        f"p7_{n}" for n in ("lesions", "reconstruction", "residual")
    ]
    names = sorted(made.iterdir())
    assert len(names) == 20
    given = [pydicom.dcmread(path) for path in sorted((tmp_path / "in" / "p7").iterdir())]
    found = [pydicom.dcmread(path) for path in names]
    for one, other in zip(given, found, strict=True):
        for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PatientID"):
            assert one[key].value == other[key].value
        assert (other.StudyInstanceUID, other.FrameOfReferenceUID) == ("1.2.3", "1.2.4")
        assert other.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert other.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
        assert other.SeriesInstanceUID != one.SeriesInstanceUID
        assert 0x00091001 not in other
    assert len({one.SOPInstanceUID for one in (*given, *found)}) == 40
    lesions = np.stack([one.pixel_array for one in found], axis=-1)
    assert np.linalg.norm(middle_of(lesions > 0, affine) - LESION) < 6.0
    healthy = [pydicom.dcmread(p) for p in sorted((tmp_path / "out/p7_reconstruction").iterdir())]
    shown = np.stack(
        [one.pixel_array * one.RescaleSlope + one.RescaleIntercept for one in healthy], axis=-1
    )
    values = head(affine, shape)
    assert np.median(np.abs(shown - values)[(shown > 0) & (values < 500)]) < 50


def test_what_is_no_brain_is_left_out_and_the_brains_are_done(brains, run, tmp_path):
    given = tmp_path / "in"
    given.mkdir()
    affine = np.diag([6.0, 6, 6, 1])
    affine[:3, 3] = -96
    values = head(affine, (32, 32, 32))
    tries = {
        "good_t2": values,
        "two_d": values[:, :, 16],
        "four_d": np.stack([values, values], axis=-1),
        "flat": np.ones_like(values),
        "scan": values - 1000,
        "none": np.full_like(values, np.nan),
    }
    for name, array in tries.items():
        image = nibabel.nifti1.Nifti1Image(array, affine)
        nibabel.loadsave.save(image, given / f"{name}.nii.gz")
    answer = run(brains, given)
    words = {
        "two_d": "has 2 axes",
        "four_d": "has 4 axes",
        "flat": "no brain stands out",
        "scan": "looks like a CT",
        "none": "no number at all",
    }
    assert answer["made"] == 1
    assert answer["left_out"].keys() == words.keys()
    for name, word in words.items():
        assert word in answer["left_out"][name]
    with pytest.raises(SettingsError, match=r"--format: found dicom, but .* came as another"):
        run(brains, given, format="dicom")
    with pytest.raises(SettingsError, match="--split: it means nothing to a model of brains"):
        run(brains, given, options={"split": "test"})


# ---------------------------------------------------------------------------- X-rays


def test_pairs_of_x_rays_become_volumes_in_nifti_and_dicom(chests, run, tmp_path):
    random = np.random.default_rng(0)
    for place in ("png", "dcm"):
        (tmp_path / place).mkdir()
    for view in ("ap", "lat"):
        for person in ("p1", "p2"):
            grey = (random.random((40, 40)) * 255).astype(np.uint8)
            Image.fromarray(grey).save(tmp_path / "png" / f"{person}_{view}.png")
            write_xray(tmp_path / "dcm" / f"{person}_{view}.dcm", grey / 255)
    answer = run(chests, tmp_path / "png", options={"voxel_size": [1, 2, 3], "number": "float32"})
    assert answer["made"] == 2
    assert results(tmp_path / "out") == ["p1_ct.nii.gz", "p2_ct.nii.gz"]
    image = nibabel.loadsave.load(tmp_path / "out" / "p1_ct.nii.gz")
    np.testing.assert_allclose(image.header.get_zooms(), (1, 2, 3))
    hu = np.asarray(image.dataobj)[::-1, ::-1, ::-1].transpose(2, 1, 0)
    given = [str(tmp_path / "png" / f"p1_{view}.png") for view in ("ap", "lat")]
    single = run(
        chests, "", inputs=given, out=str(tmp_path / "one.nii"), into_file=True, format="nii"
    )
    assert single["last"]["hu"] == pytest.approx([hu.min(), hu.max()])
    out = str(tmp_path / "series")
    run(chests, tmp_path / "dcm", out=out, format="dicom", options={"voxel_size": [1, 2, 3]})
    slices = [pydicom.dcmread(p) for p in sorted((tmp_path / "series" / "p1_ct").iterdir())]
    shown = np.stack([one.pixel_array + float(one.RescaleIntercept) for one in slices])
    np.testing.assert_allclose(shown, hu, atol=30)  # of 12 bits instead of 8
    first, last = slices[0], slices[-1]
    assert (first.PatientID, first.StudyInstanceUID, first.Modality) == ("P8", "1.2.5", "CT")
    assert list(first.PixelSpacing) == [2, 1]
    assert float(first.ImagePositionPatient[2]) - float(last.ImagePositionPatient[2]) == 33
    with pytest.raises(SettingsError, match=r"found dicom, but p1_ap\.png came as another format"):
        run(chests, tmp_path / "png", format="dicom")


# ---------------------------------------------------------------------------- the command


@pytest.fixture
def typed(scans, place, tmp_path, launcher):
    """The command, typed for a study whose trial has two folds."""
    made = MadeStudy(tmp_path / "runs", "made")
    made.add()
    trial = made.trial(0)
    plan = load_plan(trial.plan)
    save_message(trial.plan, plan.model_copy(update={"folds": 2}))
    for fold in (0, 1):
        trial.fold(fold).path.mkdir()
        shutil.copyfile(place / f"fold_{fold}.pth", trial.fold(fold).best)

    def typed(*arguments):
        where = ["--study_name", "made", "--runs_dir", str(tmp_path / "runs")]
        lent = mock.Mock(wraps=launcher, close=lambda: None)
        with (
            mock.patch("orchestrator.commands.predict.open_launcher", return_value=lent),
            mock.patch.object(sys, "argv", ["run_study.sh", "predict", *where, *arguments]),
            contextlib.redirect_stdout(io.StringIO()) as output,
            contextlib.redirect_stderr(output),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return ended.value.code or 0, output.getvalue()

    return typed


def test_the_command_says_what_it_did_and_what_it_left_out(typed, folder, tmp_path):
    code, output = typed("--input", str(folder), "--out", str(tmp_path / "out"))
    assert code == 1, output
    assert "predicted 3 files of sinograms" in output
    assert "FbpWindow, the mean of 2 folds' best" in output
    assert "LEFT OUT bad: " in output
    (folder / "bad.npy").unlink()
    code, output = typed("--input", str(folder), "--out", str(tmp_path / "out"))
    assert (code, "3 were there already" in output) == (0, True), output
    for place, words in (
        (folder / "deeper", "so that results would be taken for input"),
        (folder / "a.npy", "--out: .*a.npy exists; --overwrite replaces it"),
    ):
        code, output = typed("--input", str(folder), "--out", str(place))
        assert code == 2
        assert words.rpartition(".*")[2] in output
    code, output = typed("--input", str(folder / "no"), "--out", str(tmp_path / "o"))
    assert (code, "--input: there is no file or folder" in output) == (2, True), output
    code, output = typed("--input", str(folder), "--out", str(tmp_path / "o"), "--format", "dicom")
    assert (code, "--format: found 'dicom', expected hdf5, npy" in output) == (2, True), output
