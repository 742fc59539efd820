"""Which checkpoint a `parent` section means, and what is said where it means none."""

import json
import os
import socket
import time

import pytest
import yaml

from orchestrator.settings.schema import ParentSettings
from orchestrator.study.parent import chosen_parent
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.messages import Ending
from tests.made_study import MadeStudy
from tests.searches import make_settings


@pytest.fixture
def direct(tmp_path):
    """A study with two complete trials, the second the better one."""
    made = MadeStudy(tmp_path, "direct")
    made.add(22.0)
    made.add(26.0)
    return made


@pytest.fixture
def choose(tmp_path):
    """What a section of the new study `refine` means."""

    def choose(data=None, **section):
        settings = make_settings({"x": {"low": 0, "high": 1}}, {}, data=data or {"root": "data"})
        folder = StudyFolder(tmp_path / "refine")
        return chosen_parent(folder, settings, ParentSettings.model_validate(section))

    return choose


@pytest.fixture
def refused(choose):
    def refuse(**section):
        with pytest.raises(SettingsError) as caught:
            choose(**section)
        return str(caught.value)

    return refuse


def test_the_best_complete_trial_of_a_study_beside_it_is_meant(direct, choose):
    record, remarks = choose(study="direct")
    assert record.model_dump(exclude={"sha256"}) == {
        "checkpoint": str(direct.trial(1).best),
        "study": str(direct.folder.path),
        "trial": 1,
        "family": "fbp_window",
        "metric": "psnr",
        "value": 26.0,
        "epoch": 3,
    }
    assert remarks == []


def test_a_trial_can_be_named_by_its_number_and_a_study_by_its_folder(direct, choose, tmp_path):
    record, _ = choose(study=str(tmp_path / "direct"), trial=0)
    assert (record.trial, record.value) == (0, 22.0)


def test_a_checkpoint_can_be_named_alone(direct, choose, refused, tmp_path):
    record, _ = choose(checkpoint=str(direct.trial(0).best))
    assert record.checkpoint == str(direct.trial(0).best)
    assert record.study is None
    missing = tmp_path / "none.pth"
    assert refused(checkpoint=str(missing)).startswith(
        f"parent.checkpoint: there is no file {missing}"
    )


def test_a_study_that_is_not_there_is_answered_with_the_nearest_name(direct, refused):
    assert refused(study="dircet").startswith("parent.study: there is no study 'dircet'")
    assert refused(study="dircet").endswith("did you mean direct?")


def test_a_study_without_a_complete_trial_is_refused_with_what_it_has(tmp_path, refused):
    made = MadeStudy(tmp_path, "direct")
    made.add(None, ending=Ending.PRUNED)
    made.add(None, ending=Ending.FAILED)
    message = refused(study="direct")
    assert "no trial of study 'direct' is complete (1 pruned, 1 failed)" in message


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (2, "parent.trial: trial 2 of study 'direct' is pruned, expected a complete one; complete"),
        (3, "parent.trial: trial 3 of study 'direct' is running, expected a complete one"),
        (9, "parent.trial: study 'direct' has no trial 9; it has 0 to 3"),
    ],
)
def test_a_trial_that_is_not_complete_is_refused(direct, refused, number, words):
    direct.add(None, ending=Ending.PRUNED)
    direct.begin(epochs=1)
    assert refused(study="direct", trial=number).startswith(words)


def test_a_trial_whose_checkpoint_was_removed_is_refused_with_the_likely_reason(direct, refused):
    direct.trial(1).best.unlink()
    message = refused(study="direct")
    assert message.startswith("parent.trial: trial 1 has no checkpoint")
    assert "keep.best_trials" in message


def test_a_study_is_not_its_own_parent_nor_its_own_ancestor(direct, refused, tmp_path):
    assert "which is this study itself" in refused(study="refine")
    record = {"checkpoint": "x", "sha256": "0", "study": str(tmp_path / "refine"), "trial": 0}
    known = yaml.safe_load(direct.folder.settings.read_text())
    direct.folder.settings.write_text(yaml.safe_dump(known | {"parent": record}))
    assert "'direct' descends from a study 'refine' itself" in refused(study="direct")


def test_a_parent_that_is_still_running_is_taken_and_said(direct, choose):
    lock = {"pid": os.getpid(), "host": socket.gethostname(), "start": time.time()}
    direct.folder.lock.write_text(json.dumps(lock))
    record, (remark,) = choose(study="direct")
    assert record.trial == 1
    assert f"still running, in process {os.getpid()}" in remark


def test_a_parent_of_other_data_is_taken_and_said(direct, choose):
    _, (remark,) = choose(study="direct", data={"root": "elsewhere"})
    assert "trained on other data (data)" in remark
