"""What `confirm` refuses; what it does is tested on real studies in tests/acceptance."""

import pytest

from orchestrator.commands.confirm import confirm_study
from orchestrator.study.holding.lock import StudyLock
from protocol.errors import SettingsError, StudyInUse
from protocol.folders import StudyFolder
from protocol.messages import Ending
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    made = MadeStudy(tmp_path)
    made.write_settings(preset="p", data={})
    return made


def confirm(folder):
    return confirm_study(folder, top=5, seeds=3)


def test_an_unknown_study_is_answered_with_those_there_are(made):
    with pytest.raises(SettingsError, match=r"no study 'mode'.*did you mean made"):
        confirm(StudyFolder(made.folder.path.parent / "mode"))


def test_a_study_that_has_not_begun_is_refused_and_left_as_it_was(made):
    made.folder.database.unlink()
    with pytest.raises(SettingsError, match="has not begun"):
        confirm(made.folder)
    assert [path.name for path in made.folder.path.glob("*.yml")] == ["study.yml"]
    assert not made.folder.database.exists()


def test_a_study_without_its_settings_is_refused(made):
    made.add()
    made.folder.settings.unlink()
    with pytest.raises(SettingsError, match=r"has no .*study\.yml"):
        confirm(made.folder)


def test_without_a_complete_trial_there_is_nothing_to_confirm(made):
    made.add(None, ending=Ending.FAILED)
    with pytest.raises(SettingsError, match=r"nothing to confirm \(1 failed\)"):
        confirm(made.folder)
    assert not made.folder.confirmations.path.exists()


def test_a_study_that_is_at_work_is_not_confirmed_meanwhile(made):
    made.add()
    with StudyLock(made.folder.lock), pytest.raises(StudyInUse, match="'made' is in use"):
        confirm(made.folder)
    assert not made.folder.confirmations.path.exists()


def test_runs_of_a_confirmation_are_not_confirmed_themselves(made):
    runs = MadeStudy(made.folder.path, "confirm")
    runs.add()
    with pytest.raises(SettingsError, match="confirm --study_name made"):
        confirm(runs.folder)
