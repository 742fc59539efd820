"""Whether data are still those that trials were trained on."""

import pytest

from orchestrator.study.inputs import data_fingerprint, found_in
from orchestrator.study.study_file import StudyFile
from orchestrator.verifying.data import check_data
from orchestrator.verifying.findings import Report
from protocol.fingerprint import files_of
from protocol.folders import StudyFolder
from protocol.messages import load_plan, save_plan
from tests.ranks import make_plan
from tests.searches import NUMBERS, make_settings


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.npy").write_bytes(b"abc")
    return tmp_path / "data"


@pytest.fixture
def known(data):
    """A study on these data and a file of the user's own code."""
    code = data.parent / "mine.py"
    code.write_text("x = 1")
    places = {"data.root": data, "family": code}
    answer = {
        key: {
            "path": str(path),
            "files": {name: list(found) for name, found in files_of(path).items()},
        }
        for key, path in places.items()
    }
    inputs, _ = found_in(answer)
    return StudyFile(asked={}, settings=make_settings(NUMBERS, {}), inputs=inputs)


@pytest.fixture
def folder(tmp_path, known):
    """The study's, with one trial."""
    path = tmp_path / "study"
    trial = make_plan(path, data_fingerprint=data_fingerprint(known.inputs))
    save_plan(trial, load_plan(trial.plan))
    return StudyFolder(path)


def checked(folder, known):
    report = Report()
    check_data(report, folder, known)
    return report


def test_data_that_are_as_they_were_fit_and_code_may_be_edited(folder, known, data):
    (data.parent / "mine.py").write_text("x = 2")
    report = checked(folder, known)
    assert (report.found, report.unknown) == ([], [])
    assert report.looked["data file"] == 1


def test_data_that_have_changed_are_named_with_their_key(folder, known, data):
    (data / "a.npy").write_bytes(b"abd")
    (finding,) = checked(folder, known).found
    assert finding.place == "data.root"
    assert str(data) in finding.problem


def test_data_that_are_not_at_hand_are_said_to_be_unchecked(folder, known, data):
    data.rename(data.parent / "elsewhere")
    report = checked(folder, known)
    assert report.found == []
    assert f"{data} is not there" in report.unknown[0]


def test_an_attempt_that_was_planned_for_other_data_is_named(folder, known):
    trial = folder.trial(0)
    save_plan(trial, load_plan(trial.plan).model_copy(update={"data_fingerprint": "other"}))
    assert "planned for other data" in checked(folder, known).found[0].problem
