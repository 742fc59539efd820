import pytest

from orchestrator.settings.schema import NotifySettings, TrackingSettings
from orchestrator.tracking.trackers import mode_for, start_trackers, start_wandb
from tests.made_study import MadeStudy

KEY = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def test_every_library_that_the_settings_name_is_told(made):
    found = start_trackers(
        made.folder,
        TrackingSettings(wandb="offline", tensorboard=True),
        NotifySettings(command="true"),
    )
    for tracker in found:
        tracker.close()
    told = [tracker.sentence for tracker in found]
    assert told[0].startswith("W&B: offline")
    assert told[2] == ""
    assert told[1] == f"TensorBoard: tensorboard --logdir {made.folder.path}/tensorboard"


@pytest.mark.parametrize(
    ("wanted", "key", "mode"),
    [
        ("auto", KEY, "online"),
        ("online", KEY, "online"),
        ("auto", "", "offline"),
        ("online", "", "offline"),
        ("offline", KEY, "offline"),
    ],
)
def test_online_needs_a_key_in_the_environment(wanted, key, mode):
    environment = {"WANDB_API_KEY": key} if key else {}
    assert mode_for(TrackingSettings(wandb=wanted), environment) == mode


def test_without_a_key_the_user_is_told_that_it_is_offline(made, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    started = start_wandb(made.folder, TrackingSettings(wandb="auto"))
    started.close()
    assert "offline, because WANDB_API_KEY is not set" in started.sentence
