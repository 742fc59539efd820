"""`infer` where torch is: views in, NIfTI out, by a model and its parent."""

import hashlib

import nibabel
import numpy as np
import pytest
import torch

from protocol.errors import CheckpointError, DataError, SettingsError, UserError
from tests.families.volume_toy import VolumeToy, spread
from tests.ranks import TOY
from worker.calls.infer import infer
from worker.calls.opened import open_checkpoint
from worker.training.checkpoint import save_checkpoint

VOLUME_TOY = "tests/families/volume_toy.py:VolumeToy"
SIZE = 6


def checkpoint(path, factor, family=VOLUME_TOY, data=None, **recipe):
    """A trial's checkpoint of the toy whose model multiplies by `factor`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "model": {"factor": torch.tensor(factor)},
        "family": family,
        "recipe": {"epochs": 2, "batch_size": 4, **recipe},
        "data": data or {},
        "seed": 5,
        "epoch": 2,
    }
    save_checkpoint(path, content)
    return path


@pytest.fixture
def model(tmp_path):
    return checkpoint(tmp_path / "direct" / "trial_0" / "best.pth", 0.5)


@pytest.fixture
def views(tmp_path):
    random = np.random.default_rng(1)
    paths = [tmp_path / "ap.npy", tmp_path / "lat.npy"]
    for path in paths:
        np.save(path, random.random((SIZE, SIZE), dtype=np.float32))
    return paths


@pytest.fixture
def run(views, tmp_path):
    def run(model, **changes):
        asked = {"inputs": [str(path) for path in views], "out": str(tmp_path / "ct.nii.gz")}
        return infer(checkpoint=str(model), **(asked | changes))

    return run


def hu_of(path):
    """(D, H, W), the axes from head to feet, front to back, right to left."""
    values = np.asarray(nibabel.loadsave.load(path).dataobj, dtype=np.float32)
    return values[::-1, ::-1, ::-1].transpose(2, 1, 0)


def expected(views, factor):
    stacked = torch.stack([torch.from_numpy(np.load(path)) for path in views])
    return -1024 + 2524 * factor * spread(stacked).numpy()


def test_the_model_s_volume_is_written_with_its_voxel_size_and_told(run, model, views, tmp_path):
    told = run(model, number="float32")
    image = nibabel.loadsave.load(tmp_path / "ct.nii.gz")
    np.testing.assert_allclose(image.header.get_zooms(), (2.0, 3.0, 4.0))
    np.testing.assert_allclose(hu_of(tmp_path / "ct.nii.gz"), expected(views, 0.5), rtol=1e-4)
    assert told.pop("seconds") >= 0
    low, high = told.pop("hu")
    assert low == pytest.approx(expected(views, 0.5).min(), rel=1e-4)
    assert high == pytest.approx(expected(views, 0.5).max(), rel=1e-4)
    assert told == {
        "family": "VolumeToy",
        "epoch": 2,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "sources": [str(path) for path in views],
        "turned": 0,
        "inverted": False,
        "faint": False,
        "shape": [SIZE] * 3,
        "voxel_size": [2.0, 3.0, 4.0],
        "bytes": (tmp_path / "ct.nii.gz").stat().st_size,
    }


def test_a_voxel_size_that_is_asked_for_stands_in_the_header(run, model, tmp_path):
    told = run(model, voxel_size=[0.5, 1.5, 2.5], out=str(tmp_path / "ct.nii"))
    image = nibabel.loadsave.load(tmp_path / "ct.nii")
    np.testing.assert_allclose(image.header.get_zooms(), (0.5, 1.5, 2.5))
    assert image.get_data_dtype() == np.int16
    assert told["voxel_size"] == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("place", ["beside", "above"])
def test_the_parent_is_found_where_it_is_kept_now(run, model, views, tmp_path, place):
    keys = {
        "parent_file": str(tmp_path / "gone" / "parent.pth"),
        "parent_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    child = checkpoint(tmp_path / "refine" / "trial_0" / "best.pth", 0.25, **keys)
    with pytest.raises(SettingsError, match="there is no"):
        run(child)
    kept = child.parent if place == "beside" else child.parents[1]
    (kept / "parent.pth").write_bytes(model.read_bytes())
    run(child, number="float32")
    found = hu_of(tmp_path / "ct.nii.gz")
    np.testing.assert_allclose(found, expected(views, 0.125), rtol=1e-4)
    assert open_checkpoint(child, "cpu").family.settings.parent_file == kept / "parent.pth"


def test_views_are_turned_as_those_of_the_training_were(run, views, tmp_path):
    model = checkpoint(tmp_path / "direct" / "best.pth", 1.0, data={"xray_turn": 90})
    turned = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for view, path in zip(views, turned, strict=True):
        np.save(path, np.rot90(np.load(view)))  # by 90° against the clock
    told = run(model, inputs=[str(path) for path in turned], number="float32")
    np.testing.assert_allclose(hu_of(tmp_path / "ct.nii.gz"), expected(views, 1.0), rtol=1e-4)
    assert told["turned"] == 90


def test_views_are_inverted_as_those_of_the_training_were(run, views, tmp_path):
    model = checkpoint(tmp_path / "direct" / "best.pth", 1.0, data={"xray_invert": True})
    inverted = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for view, path in zip(views, inverted, strict=True):
        np.save(path, 1 - np.load(view))
    told = run(model, inputs=[str(path) for path in inverted], number="float32")
    np.testing.assert_allclose(hu_of(tmp_path / "ct.nii.gz"), expected(views, 1.0), rtol=1e-3)
    assert told["inverted"]


def test_views_that_are_nearly_black_are_told(run, model, views):
    for view in views:
        np.save(view, np.load(view) / 16)
    assert run(model)["faint"]


def test_views_of_different_sizes_are_brought_to_the_larger_one(run, model, views, tmp_path):
    np.save(views[1], np.full((2 * SIZE, SIZE), 0.5, dtype=np.float32))
    run(model)
    assert hu_of(tmp_path / "ct.nii.gz").shape == (SIZE,) * 3


def test_a_picture_is_drawn_where_it_is_asked_for(run, model, tmp_path):
    run(model, picture=str(tmp_path / "ct.png"))
    assert (tmp_path / "ct.png").read_bytes().startswith(b"\x89PNG")


def test_a_volume_that_is_no_numbers_is_not_written(run, tmp_path):
    model = checkpoint(tmp_path / "direct" / "best.pth", 1.0, gap=float("nan"))
    with pytest.raises(UserError, match=r"best\.pth makes 216 voxels of 216 NaN or infinite"):
        run(model)
    assert not (tmp_path / "ct.nii.gz").exists()


def test_a_device_that_is_too_small_is_told_in_a_sentence(run, model, monkeypatch):
    def too_much(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(VolumeToy, "infer", too_much)
    monkeypatch.setattr("worker.ranks.trial.load_family", lambda name: VolumeToy)
    with pytest.raises(UserError, match="--device: the memory of cpu is too small"):
        run(model)


def test_a_family_that_makes_no_volumes_says_so(run, tmp_path):
    model = tmp_path / "toy" / "best.pth"
    weights = {
        "layers.0.weight": torch.zeros(4, 1, 3, 3),
        "layers.0.bias": torch.zeros(4),
        "layers.3.weight": torch.zeros(1, 4, 3, 3),
        "layers.3.bias": torch.zeros(1),
    }
    checkpoint(model, 0.0, family=TOY)
    content = torch.load(model, weights_only=True)["content"]
    save_checkpoint(model, content | {"model": weights})
    with pytest.raises(SettingsError, match="Toy makes no volume from X-rays"):
        run(model)


def test_views_are_looked_at_before_the_model_is(run, tmp_path):
    with pytest.raises(DataError, match="expected two X-rays"):
        run(tmp_path / "none.pth", inputs=[])
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        run(tmp_path / "none.pth")


def test_a_place_that_cannot_be_written_is_told_in_a_sentence(run, model, tmp_path):
    with pytest.raises(UserError, match=r"--out: .* cannot be written: No such file"):
        run(model, out=str(tmp_path / "gone" / "ct.nii.gz"))
