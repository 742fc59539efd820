import hashlib

import pytest
import torch

from protocol.errors import CheckpointError, SettingsError
from tests.ranks import attempt, make_plan
from worker.calls import opened
from worker.calls.opened import open_checkpoint
from worker.training.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    trial = make_plan(tmp_path_factory.mktemp("study"), recipe={"epochs": 1, "width": 6})
    assert attempt(trial) == [0]
    return trial


def test_a_checkpoint_opens_as_a_model_ready_to_be_judged(trial):
    found = open_checkpoint(trial.best, "cpu")
    assert found.family.settings.width == 6
    assert not found.model.training
    assert found.epoch == 1
    assert found.seed == 3
    assert found.training.batch_size == 4
    assert found.sha256 == hashlib.sha256(trial.best.read_bytes()).hexdigest()


def test_a_checkpoint_that_is_replaced_meanwhile_is_read_again(trial, tmp_path, monkeypatch):
    path, newer = tmp_path / "best.pth", tmp_path / "newer.pth"
    path.write_bytes(trial.best.read_bytes())
    save_checkpoint(newer, load_checkpoint(trial.best) | {"epoch": 9})

    def load(file):
        content = load_checkpoint(file)
        if newer.exists():
            newer.replace(path)
        return content

    monkeypatch.setattr(opened, "load_checkpoint", load)
    found = open_checkpoint(path, "cpu")
    assert found.epoch == 9
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_cannot_be_opened_is_told_in_a_sentence(trial, tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        open_checkpoint(tmp_path / "none.pth", "cpu")
    save_checkpoint(tmp_path / "other.pth", {"weights": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="is not of a trial"):
        open_checkpoint(tmp_path / "other.pth", "cpu")


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_is_named(trial, device):
    with pytest.raises(SettingsError, match=f"^--device: '{device}' cannot be used"):
        open_checkpoint(trial.best, device)
