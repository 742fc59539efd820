"""What is read here is what Optuna would have read, to the last object."""

import math
from datetime import datetime

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from orchestrator.database.address import own_address, spelled
from orchestrator.database.patient import Patience, PatientStorage

SPACE = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "scale": FloatDistribution(0.0, 1.0, step=0.25),
    "width": IntDistribution(1, 9, step=2),
    "depth": IntDistribution(1, 64, log=True),
    "window": CategoricalDistribution(["full", None, 3, 0.5, True]),
}
POINT = {"rate": 0.01, "scale": 0.25, "width": 5, "depth": 16, "window": None}


@pytest.fixture
def storages(tmp_path):
    url = own_address(tmp_path / "study.db")
    return PatientStorage(url, Patience(seconds=0.0)), RDBStorage(spelled(url))


def fill(optunas):
    """Every kind of trial, value and attribute that Optuna knows."""
    other = optuna.create_study(storage=optunas, study_name="other")
    study = optuna.create_study(storage=optunas, study_name="x", directions=["minimize"])
    other.tell(other.ask(), 1.0)
    study.enqueue_trial({"rate": 0.02}, user_attrs={"by": "hand"})
    make = optuna.trial.create_trial
    now = datetime.now()
    for state, value in (
        (TrialState.COMPLETE, 0.1),
        (TrialState.COMPLETE, math.inf),
        (TrialState.COMPLETE, -math.inf),
        (TrialState.PRUNED, None),
        (TrialState.FAIL, None),
        (TrialState.RUNNING, None),
    ):
        trial = make(
            state=state,
            value=value,
            params=POINT,
            distributions=SPACE,
            user_attrs={"long": "ä" * 3000, "nested": {"a": [1, None, 2.5]}, "no": None},
            system_attrs={"constraints:finite": 1.0, "tpe:relative_params:0": "{}"},
            intermediate_values={3: 1.5, 1: math.nan, 2: math.inf, 4: -math.inf},
        )
        study.add_trial(trial)
        other.tell(other.ask(), 2.0)
    moved = make(
        state=TrialState.COMPLETE,
        value=0.0,
        params={"width": 3, "rate": 1.0},
        distributions={
            "width": IntDistribution(1, 3),
            "rate": FloatDistribution(0.5, 2.0, log=True),
        },
    )
    moved.datetime_start = moved.datetime_complete = now
    study.add_trial(moved)
    return study._study_id


def told(trials):
    return [repr(trial) for trial in trials]  # in which NaN equals NaN


def orders(trials):
    return [list(trial.params) for trial in trials]


def test_all_trials_are_what_optuna_reads(storages):
    ours, optunas = storages
    study = fill(optunas)
    expected = RDBStorage._get_trials(ours, study, None, set(), -1)
    found = ours._get_trials(study, None, set(), -1)
    assert len(found) == 8
    assert orders(found) == orders(expected)
    for one, other in zip(found, expected, strict=True):
        assert sorted(vars(one)) == sorted(vars(other))
        for name, value in vars(other).items():
            assert repr(_sorted(vars(one)[name])) == repr(_sorted(value)), name


def _sorted(value):
    return dict(sorted(value.items())) if isinstance(value, dict) else value


@pytest.mark.parametrize(("above", "among"), [(5, set()), (5, {2, 4, 5}), (5, {2, 9}), (99, {3})])
def test_those_above_an_id_or_among_some_are_what_optuna_reads(storages, above, among):
    ours, optunas = storages
    study = fill(optunas)
    expected = RDBStorage._get_trials(ours, study, None, among, above)
    found = ours._get_trials(study, None, among, above)
    assert [trial._trial_id for trial in found] == [trial._trial_id for trial in expected]


def test_more_ids_than_a_query_takes_are_read_in_pieces(storages, monkeypatch):
    ours, optunas = storages
    study = fill(optunas)
    monkeypatch.setattr("orchestrator.database.reading._PIECE", 2)
    whole = ours._get_trials(study, None, set(), -1)
    ids = {trial._trial_id for trial in whole}
    assert told(ours._get_trials(study, None, ids, 99)) == told(whole)


def test_trials_in_a_state_are_those_in_that_state(storages):
    ours, optunas = storages
    study = fill(optunas)
    states = (TrialState.WAITING, TrialState.FAIL)
    found = ours._get_trials(study, states, set(), -1)
    assert sorted(trial.state for trial in found) == sorted(states)


def test_a_single_trial_is_the_same_as_among_all(storages):
    ours, optunas = storages
    study = fill(optunas)
    for trial in ours._get_trials(study, None, set(), -1):
        assert repr(ours.get_trial(trial._trial_id)) == repr(trial)
    with pytest.raises(KeyError):
        ours.get_trial(99)


def test_trials_share_the_distributions_that_they_have_in_common(storages):
    ours, optunas = storages
    found = ours._get_trials(fill(optunas), None, set(), -1)
    first, second = (trial for trial in found if trial.value in (0.1, math.inf))
    assert first.distributions["rate"] is second.distributions["rate"]


def test_a_study_that_is_not_there_is_told(storages):
    with pytest.raises(KeyError):
        storages[0]._get_trials(7, None, set(), -1)


def test_attributes_under_a_prefix_are_those_and_no_others(storages):
    ours, optunas = storages
    study = optuna.create_study(storage=optunas)
    for key in ("dashboard:1:a", "dashboard:1:b", "dashboard:11:a", "dashboard:1", "dashboardx1:a"):
        optunas.set_study_system_attr(study._study_id, key, key)
    found = ours.get_study_system_attrs(study._study_id, "dashboard:1:")
    assert found == {key: key for key in ("dashboard:1:a", "dashboard:1:b")}
    everything = optunas.get_study_system_attrs(study._study_id)
    assert ours.get_study_system_attrs(study._study_id) == everything
    with pytest.raises(KeyError):
        ours.get_study_system_attrs(99)
