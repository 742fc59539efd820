"""What is remembered is what a fresh look at the database finds, whoever wrote to it."""

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import event

from orchestrator.database import patient
from orchestrator.database.address import address, own_address, spelled
from orchestrator.database.patient import Patience, PatientStorage
from orchestrator.database.remembering import RememberingStorage


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.postgres)])
def study(request, tmp_path):
    url = own_address(tmp_path / "study.db")
    if request.param == "PostgreSQL":
        url = address(request.getfixturevalue("postgresql").url())
    storage = RememberingStorage(PatientStorage(url, Patience(seconds=0.0)))
    return optuna.create_study(storage=storage, study_name="x")


@pytest.fixture
def elsewhere(study):
    """The same study in another's hands: a notebook's, or the dashboard's."""
    url = spelled(study._storage._backend.address)
    return optuna.load_study(study_name="x", storage=url)


def agree(study):
    """That what is remembered is what is in the database; the trials."""
    fresh = study._storage._backend._get_trials(study._study_id, None, set(), -1)
    found = study.get_trials(deepcopy=False)
    for one, other in zip(found, fresh, strict=True):
        for name, value in vars(other).items():
            assert vars(one)[name] == value, name
        assert study._storage.get_trial(one._trial_id) == other
    for states in ((TrialState.RUNNING,), (TrialState.WAITING, TrialState.COMPLETE)):
        of_them = [trial for trial in found if trial.state in states]
        assert study.get_trials(deepcopy=False, states=states) == of_them
    return found


def reads(study):
    """Counts how often trials are read from the database from now on."""
    counted = []
    event.listen(
        study._storage._backend.engine,
        "before_cursor_execute",
        lambda *given: counted.append(given[2]) if "FROM trial" in given[2] else None,
    )
    return counted


def commits(study):
    counted = []
    event.listen(study._storage._backend.engine, "commit", counted.append)
    return counted


def test_after_each_call_of_optunas_what_is_remembered_is_what_was_stored(study):
    study.enqueue_trial({"x": 0.25})
    agree(study)
    for number in range(3):
        trial = study.ask()
        agree(study)
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("c", [None, "a", 3])
        agree(study)
        trial.report(0.5, 1)
        trial.report(float("inf"), 2)
        agree(study)
        trial.set_user_attr("mixed", {"tuple": (1, 2), 3: None})
        trial.set_constraint("finite", 1.0)
        agree(study)
        if number:
            study.tell(trial, 1.0)
        else:
            study.tell(trial, state=TrialState.PRUNED)
        agree(study)
    assert [trial.number for trial in agree(study)] == [0, 1, 2]


@pytest.mark.parametrize("study", ["SQLite"], indirect=True)
def test_nothing_is_read_again_as_long_as_nobody_else_writes(study):
    study.tell(study.ask(), 1.0)
    trial = study.ask()
    study.get_trials(deepcopy=False)
    counted = reads(study)
    trial.report(1.0, 1)
    for _ in range(5):
        study.get_trials(deepcopy=False)
        study._storage.get_trial(trial._trial_id)
    assert len(counted) == 1, "the look at the trial's state before the report"


def test_what_others_write_is_seen_at_the_next_look(study, elsewhere):
    running = study.ask()
    agree(study)
    elsewhere.enqueue_trial({"x": 0.5})
    assert [trial.state for trial in agree(study)] == [TrialState.RUNNING, TrialState.WAITING]
    elsewhere._storage.set_trial_user_attr(running._trial_id, "by", "hand")
    assert agree(study)[0].user_attrs == {"by": "hand"}
    elsewhere.tell(running.number, 3.0)
    assert agree(study)[0].value == 3.0
    elsewhere.tell(elsewhere.ask(), 1.0)
    study.tell(study.ask(), 2.0)
    assert [trial.value for trial in agree(study)] == [3.0, 1.0, 2.0]


def test_a_study_s_attributes_are_read_again_when_somebody_has_set_one(study, elsewhere):
    study.set_user_attr("mine", 1)
    assert study.user_attrs == {"mine": 1}
    elsewhere.set_user_attr("theirs", 2)
    assert study.user_attrs == {"mine": 1, "theirs": 2}
    study.set_user_attr("mine", 3)
    assert study.user_attrs == {"mine": 3, "theirs": 2}


def test_what_others_wrote_between_two_own_writes_is_not_overlooked(study, elsewhere):
    trial = study.ask()
    agree(study)
    elsewhere._storage.set_trial_user_attr(trial._trial_id, "by", "hand")
    trial.report(1.0, 1)
    assert agree(study)[0].user_attrs == {"by": "hand"}


def test_a_trial_that_others_ended_is_not_written_to(study, elsewhere):
    trial = study.ask()
    agree(study)
    elsewhere.tell(trial.number, 3.0)
    with pytest.raises(UpdateFinishedTrialError):
        trial.report(1.0, 1)
    assert agree(study)[0].intermediate_values == {}


def test_of_a_write_that_fails_nothing_is_remembered(study, monkeypatch):
    trial = study.ask()
    agree(study)

    def full(*_):
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(patient, "carry_out", full)
        with pytest.raises(OSError, match="no room"):
            trial.report(1.0, 1)
    assert agree(study)[0].intermediate_values == {}


def test_what_is_handed_out_may_be_changed_without_changing_the_memory(study):
    trial = study.ask()
    study._storage.get_trial(trial._trial_id).user_attrs["mine"] = 1
    assert agree(study)[0].user_attrs == {}


@pytest.mark.parametrize("study", ["SQLite"], indirect=True)
def test_a_look_costs_no_commit(study):
    study.tell(study.ask(), 1.0)
    counted = commits(study)
    study.get_trials(deepcopy=False)
    assert counted == []
