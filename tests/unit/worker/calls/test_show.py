import json
import shutil
from pathlib import Path

import pytest
import torch

from models.pictures import Picture
from protocol.errors import CheckpointError, SettingsError
from protocol.messages import Validated
from tests.ranks import attempt, events, make_plan
from worker.calls.show import evaluate, load_model, mean_scores, visualize
from worker.training.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    recipe = {"epochs": 2, "ema_decay": 0.9, "batch_norm": True, "width": 6}
    trial = make_plan(tmp_path_factory.mktemp("study"), recipe=recipe)
    assert attempt(trial) == [0]
    return trial


def test_a_checkpoint_judges_its_split_as_the_trial_did(trial):
    assert evaluate(trial.best, "validation") == pytest.approx(
        events(trial, Validated)[-1].metrics, rel=1e-6
    )


def test_the_mean_over_chosen_samples_is_theirs_alone(trial):
    alone = [evaluate(trial.best, "test", samples=[index])["error"] for index in (1, 6, 7)]
    together = evaluate(trial.best, "test", samples=[1, 6, 7])["error"]
    assert together == pytest.approx(sum(alone) / 3)
    assert together != pytest.approx(evaluate(trial.best, "test")["error"], rel=1e-3)


@pytest.mark.parametrize("name", ["best", "last"])
def test_the_loaded_model_is_ready_for_inference_as_the_checkpoint_describes_it(trial, name):
    family, model = load_model(getattr(trial, name))
    assert family.settings.width == 6
    assert not model.training
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 8, 8)


def test_chosen_samples_are_drawn_and_judged(trial, tmp_path):
    report = visualize(str(trial.best), str(tmp_path / "new"), "test", [0, 5], "cpu")
    assert [Path(path).name for path in report["pictures"]] == ["test_0000.png", "test_0005.png"]
    assert all(Path(path).stat().st_size > 1000 for path in report["pictures"])
    assert report["metrics"] == evaluate(trial.best, "test", samples=[0, 5])
    assert json.loads(json.dumps(report)) == report


def test_a_number_of_samples_is_spread_over_the_split_which_is_judged_whole(trial, tmp_path):
    report = visualize(str(trial.best), str(tmp_path), "validation", 2, "cpu")
    assert [Path(path).stem for path in report["pictures"]] == [
        "validation_0000",
        "validation_0007",
    ]
    assert report["metrics"] == evaluate(trial.best, "validation")


@pytest.mark.parametrize("samples", [[8], [-1], []])
def test_samples_that_the_split_does_not_have_are_refused(trial, tmp_path, samples):
    with pytest.raises(SettingsError, match=r"^samples: found"):
        visualize(str(trial.best), str(tmp_path), "test", samples, "cpu")
    assert list(tmp_path.iterdir()) == []


def test_another_data_root_takes_the_place_of_the_trained_one(trial):
    """The toy has no root: that it hears of one shows that the override arrives."""
    with pytest.raises(SettingsError, match=r"^data\.root: there is no such key"):
        load_model(trial.best, data_root="elsewhere")


def test_a_checkpoint_that_is_not_of_a_trial_is_refused(tmp_path):
    save_checkpoint(tmp_path / "other.pth", {"weights": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="is not of a trial"):
        load_model(tmp_path / "other.pth")


def test_a_family_that_is_gone_is_named(trial, tmp_path):
    save_checkpoint(tmp_path / "moved.pth", load_checkpoint(trial.best) | {"family": "gone"})
    with pytest.raises(SettingsError, match="there is no family 'gone'"):
        evaluate(tmp_path / "moved.pth")


def test_a_family_file_that_is_gone_is_taken_from_beside_the_checkpoint(trial, tmp_path):
    content = load_checkpoint(trial.best)
    old, _, name = content["family"].rpartition(":")
    exported = tmp_path / "best.pth"
    save_checkpoint(exported, content | {"family": f"/gone/toy.py:{name}"})
    with pytest.raises(SettingsError, match=r"there is no file /gone/toy\.py"):
        load_model(exported)
    shutil.copyfile(old, tmp_path / "toy.py")
    assert load_model(exported)[0].settings.width == 6


def test_scores_of_pictures_are_averaged_over_those_that_have_them():
    pictures = [
        Picture(name="", title="", panels=(), window=(0, 1), scores=scores)
        for scores in ({"psnr": 20.0}, {"psnr": 30.0, "ssim": 0.5}, {})
    ]
    assert mean_scores(pictures) == {"psnr": 25.0, "ssim": 0.5}
