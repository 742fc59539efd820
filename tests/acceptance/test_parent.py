"""A coarse study, a fine one that starts from it, and X-rays through both, by the real command."""

from __future__ import annotations

import shutil

import nibabel
import numpy as np
import pytest
import yaml
from PIL import Image

from orchestrator.study.peek import peek
from protocol.messages import load_plan
from tests.studio import ROOT, Studio, finish
from worker.calls.infer import infer

PHANTOMS = {"size": 32, "xray_size": 32, "train": 4, "validation": 2, "test": 1, "seed": 1}
SEARCH = {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}


def begin(path, launcher, family, ct_size, **changes):
    """A study of the family's tiny preset, at a size where a trial takes a second."""
    studio = Studio(path, name=family, launcher=launcher)
    studio.preset = yaml.safe_load((ROOT / "studies" / f"{family}_tiny.yml").read_text())
    data = {"root": str(path / "phantoms"), "ct_size": ct_size, "xray_size": 32}
    studio.change(
        data=data | {"generate": PHANTOMS},
        recipe={"epochs": 1, "width": 4},
        n_trials=1,
        pictures=0,
        devices="cpu",
        search=None,
        enqueue=[],
        **changes,
    )
    studio.preset["search"] = SEARCH
    code, output = studio.run()
    assert code == 0, output
    return studio, output


@pytest.fixture(scope="module")
def begun(tmp_path_factory, launcher):
    """The studies direct64 and refine256, and what the second one said."""
    path = tmp_path_factory.mktemp("parent")
    direct, _ = begin(path, launcher, "direct64", 8)
    refine, output = begin(path, launcher, "refine256", 32, parent={"study": "direct64"})
    return direct, refine, output


@pytest.fixture
def views(tmp_path):
    """Two X-rays as a camera would give them."""
    random = np.random.default_rng(0)
    paths = [tmp_path / "ap.png", tmp_path / "lat.png"]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (40, 48), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


def test_the_fine_study_starts_from_the_coarse_one_s_best_and_says_so(begun):
    direct, refine, output = begun
    told = peek(refine.folder).parent
    assert told.checkpoint == str(direct.trial(0).best)
    assert told.study == str(direct.folder.path)
    assert f"parent: trial 0 of study direct64, psnr {told.value:.5g} at epoch 1" in output
    recipe = load_plan(refine.trial(0).plan).recipe.given
    assert recipe["parent_file"] == str(refine.folder.parent)
    assert recipe["parent_sha256"] == told.sha256
    assert refine.folder.parent.samefile(direct.trial(0).best)


def test_two_x_rays_become_a_nifti_volume_by_both_models(begun, views, tmp_path):
    _, refine, _ = begun
    out, picture = tmp_path / "ct.nii.gz", tmp_path / "ct.png"
    options = ["--out", str(out), "--voxel_size", "1.5", "2", "2.5", "--picture", str(picture)]
    arguments = ["infer", *refine.where, "--trial", "best", "--input", *views, *options]
    code, output = finish(refine.start_command(arguments))
    assert code == 0, output
    image = nibabel.loadsave.load(out)
    assert image.shape == (32, 32, 32)
    np.testing.assert_allclose(image.header.get_zooms(), (1.5, 2.0, 2.5))
    assert image.header.get_xyzt_units()[0] == "mm"
    assert nibabel.orientations.aff2axcodes(image.affine) == ("R", "A", "S")
    hu = np.asarray(image.dataobj)
    assert hu.min() >= -1024
    assert hu.std() > 0
    assert "parent   trial 0 of study direct64" in output
    assert "32 × 32 × 32 of 1.5 × 2 × 2.5 mm" in output
    assert picture.stat().st_size > 1000


def test_an_export_needs_nothing_of_the_studies(begun, views, tmp_path):
    _, refine, _ = begun
    out = tmp_path / "taken"
    code, output = refine.command("export", "--out", str(out))
    assert code == 0, output
    away = refine.folder.path.parent.with_name("away")
    shutil.move(refine.folder.path.parent, away)
    try:
        infer(checkpoint=str(out / "best.pth"), inputs=views, out=str(tmp_path / "ct.nii"))
    finally:
        shutil.move(away, refine.folder.path.parent)
    assert nibabel.loadsave.load(tmp_path / "ct.nii").shape == (32, 32, 32)


def test_the_best_trial_is_confirmed_from_the_same_parent(begun):
    _, refine, _ = begun
    code, output = refine.command("confirm", "--top", "1", "--seeds", "1")
    assert code in (0, 1), output
    runs = refine.folder.confirmations
    assert peek(runs).parent == peek(refine.folder).parent
    assert runs.trial(0).best.exists(), output


def test_a_parent_that_has_changed_stops_the_study(begun):
    direct, refine, _ = begun
    best = direct.trial(0).best
    kept = best.read_bytes()
    best.write_bytes(kept[:-1] + b"x")
    code, output = refine.run("--n_trials", "2")
    assert code == 2, output
    assert "has changed since the study began: its SHA-256 is" in output
    assert "Traceback" not in output
    assert refine.states() == ["COMPLETE"]
    best.write_bytes(kept)
