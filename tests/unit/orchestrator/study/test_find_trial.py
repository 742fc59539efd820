import pytest

from orchestrator.study.find import resolve_trial
from protocol.errors import SettingsError
from protocol.messages import Ending
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def refused(made, which):
    with pytest.raises(SettingsError) as caught:
        resolve_trial(made.folder, which)
    return str(caught.value)


def test_best_is_the_best_complete_trial_and_a_number_is_that_trial(made):
    for value in (22.0, 26.0, 24.0):
        made.add(value)
    assert resolve_trial(made.folder, "best") == made.trial(1)
    assert resolve_trial(made.folder, "2") == made.trial(2)


def test_a_trial_that_does_not_exist_is_refused_with_those_that_do(made):
    assert refused(made, "0") == "--trial: study 'made' has no trial 0; it has none yet"
    made.add()
    made.add()
    assert refused(made, "7") == "--trial: study 'made' has no trial 7; it has 0 to 1"


@pytest.mark.parametrize("which", ["worst", "-1", "1.5", ""])
def test_anything_else_is_refused(made, which):
    expected = f"--trial: found {which!r}, expected `best` or a trial's number"
    assert refused(made, which) == expected


def test_without_a_complete_trial_there_is_no_best_one(made):
    made.add(None, ending=Ending.PRUNED)
    made.add(None, ending=Ending.FAILED)
    message = refused(made, "best")
    assert "no trial of study 'made' is complete" in message
    assert "1 pruned, 1 failed" in message
    assert resolve_trial(made.folder, "0") == made.trial(0)


def test_a_missing_checkpoint_is_told_with_its_cause(made):
    removed = made.add(24.0)
    made.trial(removed).best.unlink()
    assert "keep.best_trials" in refused(made, "best")
    made.begin()
    assert "not validated an epoch yet" in refused(made, "1")
    made.add(None, ending=Ending.FAILED, epochs=0, best_epoch=0)
    assert "ended before it had validated" in refused(made, "2")
