import json

import pytest

from protocol.errors import SettingsError
from protocol.panels import load_panels
from tests.ranks import attempt, make_plan
from worker.calls.curves import curves
from worker.calls.panels import panels


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    trial = make_plan(tmp_path_factory.mktemp("study"), recipe={"epochs": 2}, pictures=1)
    assert attempt(trial) == [0]
    return trial


def shown(trial, out, **changes):
    asked = {"split": "validation", "indices": [0], "prefix": "", "device": "cpu"}
    return panels(checkpoint=str(trial.best), out=str(out), **(asked | changes))


def test_a_checkpoint_shows_a_case_as_its_trial_did(trial, tmp_path):
    (path,) = shown(trial, tmp_path / "new")["panels"]
    assert load_panels(tmp_path / "new" / "validation_0000.panels") == load_panels(
        trial.panels / "validation_0000.panels"
    )
    assert path == str(tmp_path / "new" / "validation_0000.panels")


def test_cases_of_any_split_are_shown_under_a_name_of_their_own(trial, tmp_path):
    answer = shown(trial, tmp_path, split="test", indices=[1, 3], prefix="fold2_")
    names = [path.rpartition("/")[2] for path in answer["panels"]]
    assert names == ["fold2_test_0001.panels", "fold2_test_0003.panels"]
    assert json.loads(json.dumps(answer)) == answer


def test_a_case_that_is_not_there_is_refused(trial, tmp_path):
    with pytest.raises(SettingsError, match="--case: found 99, expected 0 to 7 in the test split"):
        shown(trial, tmp_path, split="test", indices=[99])


def test_curves_are_drawn_anew_from_a_trials_events(trial, tmp_path):
    (path,) = curves(trial=str(trial.path), out=str(tmp_path / "new"))["curves"]
    assert path == str(tmp_path / "new" / "history.png")
    assert (tmp_path / "new" / "history.png").read_bytes() == trial.history_curve.read_bytes()


def test_there_are_no_curves_before_the_first_epoch(tmp_path):
    with pytest.raises(SettingsError, match="has not validated an epoch yet"):
        curves(trial=str(make_plan(tmp_path).path), out=str(tmp_path))
