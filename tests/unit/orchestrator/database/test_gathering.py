"""A step of a trial's way is in the study whole, or not at all."""

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from sqlalchemy import event

from orchestrator.database import patient
from orchestrator.database.address import address, own_address
from orchestrator.database.gathering import Gathered
from orchestrator.database.patient import Patience, PatientStorage
from orchestrator.database.remembering import RememberingStorage
from orchestrator.database.writing import Crossed
from orchestrator.reporting.notes import get_note, save_note


@pytest.fixture(
    params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.postgres), "in memory"]
)
def study(request, tmp_path):
    if request.param == "in memory":
        return optuna.create_study(storage=InMemoryStorage(), study_name="x")
    url = own_address(tmp_path / "study.db")
    if request.param == "PostgreSQL":
        url = address(request.getfixturevalue("postgresql").url())
    storage = RememberingStorage(PatientStorage(url, Patience(seconds=0.0)))
    return optuna.create_study(storage=storage, study_name="x")


@pytest.fixture
def of_file(tmp_path):
    backend = PatientStorage(own_address(tmp_path / "study.db"), Patience(seconds=0.0))
    return optuna.create_study(storage=RememberingStorage(backend), study_name="x")


def new(number):
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    trial.number = number
    return trial


def ended(study):
    """The next step of a running trial: it ends, with everything that belongs to an end."""
    running = study.ask()
    running.report(0.5, 1)
    step = Gathered(study, study._storage.get_trial(running._trial_id))
    step.trial.set_user_attr("ending", "completed")
    step.trial.set_constraint("finite", 1.0)
    step.trial.report(0.25, 2)
    save_note(step.trial, "why " * 1000)
    step.study.tell(step.trial, 0.25)
    return step


def test_a_new_trial_is_there_once_it_is_stored_and_not_before(study):
    study.tell(study.ask(), 1.0)
    step = Gathered(study, new(1))
    x = step.trial.suggest_float("x", 0, 1)
    step.trial.set_user_attr("visible", {"finished": "0"})
    assert [trial.params for trial in step.study.get_trials()] == [{}, {"x": x}]
    assert len(study.trials) == 1
    identity = step.store()
    found = study.trials[1]
    assert (found._trial_id, found.state) == (identity, TrialState.RUNNING)
    assert (found.params, found.user_attrs) == ({"x": x}, {"visible": {"finished": "0"}})


def test_an_enqueued_trial_begins_with_the_values_that_it_has(study):
    study.enqueue_trial({"x": 0.25})
    step = Gathered(study, study.trials[0])
    assert step.trial.suggest_float("x", 0, 1) == 0.25
    y = step.trial.suggest_float("y", 0, 1)
    assert study.trials[0].state is TrialState.WAITING
    step.store()
    assert study.trials[0].state is TrialState.RUNNING
    assert study.trials[0].params == {"x": 0.25, "y": y}
    assert study.trials[0].datetime_start is not None


def test_an_end_is_told_with_all_that_belongs_to_it(study):
    step = ended(study)
    assert study.trials[0].state is TrialState.RUNNING
    step.store()
    (found,) = study.trials
    assert (found.state, found.value) == (TrialState.COMPLETE, 0.25)
    assert found.user_attrs == {"ending": "completed"}
    assert found.constraints == {"finite": 1.0}
    assert found.intermediate_values == {1: 0.5, 2: 0.25}
    assert get_note(optuna.trial.Trial(study, found._trial_id)) == "why " * 1000


def test_each_step_is_one_transaction(of_file):
    ending = ended(of_file)
    beginning = Gathered(of_file, new(1))
    beginning.trial.suggest_float("x", 0, 1)
    beginning.trial.set_user_attr("visible", {})
    counted = []
    event.listen(of_file._storage._backend.engine, "commit", counted.append)
    ending.store()
    beginning.store()
    assert len(counted) == 2


def test_a_step_that_is_cut_off_leaves_nothing(of_file, monkeypatch):
    step = ended(of_file)
    monkeypatch.setattr("orchestrator.database.writing._set_state", cut_off)
    with pytest.raises(KeyboardInterrupt):
        step.store()
    (found,) = of_file.get_trials()
    assert (found.state, found.user_attrs) == (TrialState.RUNNING, {})
    assert (found.system_attrs.keys(), found.intermediate_values) == ({patient._MADE}, {1: 0.5})
    assert of_file._storage.get_study_system_attrs(of_file._study_id) == {}


def cut_off(*_):
    raise KeyboardInterrupt


def test_a_trial_whose_number_others_took_is_not_made(of_file):
    step = Gathered(of_file, new(0))
    of_file.enqueue_trial({"x": 1})
    with pytest.raises(Crossed):
        step.store()
    assert len(of_file.trials) == 1


def test_an_enqueued_trial_that_others_began_is_not_begun_again(of_file):
    of_file.enqueue_trial({"x": 1})
    step = Gathered(of_file, of_file.trials[0])
    of_file.ask()
    with pytest.raises(Crossed):
        step.store()


def test_a_trial_that_others_ended_stays_as_they_ended_it(study):
    step = ended(study)
    study.tell(0, 7.0)
    with pytest.raises(UpdateFinishedTrialError):
        step.store()
    assert study.trials[0].value == 7.0


def test_a_step_without_changes_is_not_written(of_file):
    trial = of_file.ask()
    counted = []
    event.listen(of_file._storage._backend.engine, "commit", counted.append)
    step = Gathered(of_file, of_file._storage.get_trial(trial._trial_id))
    assert step.store() == trial._trial_id
    assert counted == []


def test_a_step_sees_what_ended_since_the_one_before(study):
    running = study.ask()
    before = Gathered(study, new(1)).study._get_trials(deepcopy=False, use_cache=True)
    assert [trial.state for trial in before] == [TrialState.RUNNING] * 2
    study._storage.set_trial_state_values(running._trial_id, TrialState.COMPLETE, [1.0])
    after = Gathered(study, new(1)).study._get_trials(deepcopy=False, use_cache=True)
    assert [trial.state for trial in after] == [TrialState.COMPLETE, TrialState.RUNNING]
