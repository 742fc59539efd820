"""What a task takes of a trial: its kind, its post-processing, and its own time steps."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from models.program import Program
from protocol.errors import SettingsError
from tests.families.anomaly_toy import TINY_BRAINS, AnomalyToy, AnomalyToySettings
from worker.calls.prediction.kinds import make_task
from worker.calls.prediction.task import Wanted

SETTINGS = {"timesteps": [200], "erosion": 0, "median_size": 3, "rule": "mean_dice",
            "percentile": 99.0, "largest_dropped": 2, "floor_threshold": 9.0}  # fmt: skip


@dataclass
class Opened:
    family: Any
    sha256: str
    model: Any = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@pytest.fixture
def toy(tmp_path):
    data = AnomalyToy.Data.model_validate({"root": tmp_path / "none", **TINY_BRAINS})
    return AnomalyToy(AnomalyToySettings(), data)


def made(toy, digests, postprocessing, **options):
    opened = [Opened(toy, digest, toy.build_model()) for digest in digests]
    wanted = Wanted(inputs=("scan",), options=options)
    return make_task(opened, wanted, postprocessing, print, {})


def of(digest, threshold, **changes):
    settings = SETTINGS | {"threshold": threshold} | changes
    return {"sha256": digest, "settings": settings, "source": "evaluation.json (test)"}


def test_folds_share_the_mean_of_their_thresholds(toy):
    found = made(toy, ["a", "b"], [of("b", 0.3), of("a", 0.2)])
    settings = found.task.settings()
    assert settings["threshold"] == pytest.approx(0.25)
    assert settings["postprocessing"]["median_size"] == 3
    assert "threshold 0.25, the mean of 2 folds'" in found.notes[-1]
    # Nobody trained here: how large the volumes were is not known.
    assert "are taken to be of 1 mm" in found.notes[0]


def test_a_threshold_that_is_given_is_taken_with_the_tuned_filters(toy):
    found = made(toy, ["a"], [of("a", 0.3)], threshold=0.5)
    assert found.task.settings()["threshold"] == 0.5
    assert found.task.settings()["postprocessing"]["erosion"] == 0


@pytest.mark.parametrize("known", [[], [of("a", 0.3)], [of("c", 0.3), of("d", 0.2)]])
def test_what_is_of_other_checkpoints_is_not_taken(toy, known):
    found = made(toy, ["a", "b"], known)
    assert found.task.settings()["threshold"] is None
    assert found.notes[-1].startswith("LESIONS ARE A GUESS: the trial")


def test_tuned_time_steps_are_the_program_s(toy):
    noisy = AnomalyToy(AnomalyToySettings(noise=0.5), toy.data)
    image, mask = torch.full((1, 1, 32, 32), 0.5), torch.ones(1, 1, 32, 32)

    def shown(found):
        return found.ensemble.programs[0](image, mask)[0][..., 4:-4, 4:-4]  # off the rim's zeros

    own = made(noisy, ["a"], [of("a", 0.3)])
    late = made(noisy, ["a"], [of("a", 0.3, timesteps=[900])])
    assert late.family == own.family == "AnomalyToy"
    assert shown(late).std() > 2 * shown(own).std()


def test_an_option_of_another_kind_is_refused_under_its_own_name(toy):
    with pytest.raises(SettingsError, match=r"^--dtype: it means nothing to a model of brains"):
        made(toy, ["a"], [], number="int16")


def test_an_option_with_a_word_that_is_none_of_its_own_is_refused(toy):
    words = "^--mask_method: found 'no', expected auto, nonzero, threshold, deepbet"
    with pytest.raises(SettingsError, match=words):
        made(toy, ["a"], [], mask_method="no")


def test_a_program_of_its_own_kind_has_no_files(toy, monkeypatch):
    monkeypatch.setattr(AnomalyToy, "program", lambda self, model: Program())
    with pytest.raises(SettingsError, match="family: AnomalyToy takes what no file format"):
        made(toy, ["a"], [])
