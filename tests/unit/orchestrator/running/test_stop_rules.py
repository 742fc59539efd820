"""A search ends by the rule that was asked for, says why ever after, and goes on when told to."""

import datetime
from unittest import mock

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.ledger.account import Account
from orchestrator.running import stop_rules
from orchestrator.running.stop_rules import StopRules
from orchestrator.study.counting.ignored import set_ignored
from orchestrator.study.standing.ruling import read_ruling
from tests.searches import SmallSearch, make_settings

START = datetime.datetime(2026, 1, 1)


@pytest.fixture
def study(tmp_path):
    return SmallSearch(tmp_path, make_settings({"x": {"low": 0.0, "high": 1.0}}, {}))


def told(study, *values):
    """Trials that end one after the other; None is pruned."""
    for value in values:
        number = len(study.trials())
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        trial = optuna.trial.create_trial(
            state=state,
            value=value,
            params={"x": number % 17 / 17},
            distributions={"x": optuna.distributions.FloatDistribution(0.0, 1.0)},
        )
        trial.datetime_start = START + datetime.timedelta(minutes=number)
        trial.datetime_complete = trial.datetime_start + datetime.timedelta(seconds=30)
        study.study.add_trial(trial)


def rules(study):
    said = mock.Mock()
    return StopRules(study.folder, study.study, said), said


def asking(study, **stop_when):
    return make_settings({"x": {"low": 0.0, "high": 1.0}}, {}, stop_when=stop_when)


def test_a_value_that_is_reached_ends_the_search_and_a_larger_budget_overrules_that(study):
    found, said = rules(study)
    settings = asking(study, value=0.5)
    told(study, 0.9, 0.7)
    assert found.reason(settings, 20) == ""
    told(study, 0.4)
    reason = found.reason(settings, 20)
    assert reason == "trial 2 has reached error 0.4, where 0.5 was to be reached"
    said.assert_called_once_with(f"no further trial begins: {reason}")
    resumed, said = rules(study)
    assert resumed.reason(settings, 20) == reason
    said.assert_not_called()
    assert resumed.reason(settings, 21) == ""
    assert "21 trials overrules" in said.call_args.args[0]
    assert read_ruling(study.folder) is None
    told(study, 0.3)
    assert rules(study)[0].reason(settings, 21) == ""  # for good
    assert "0.35" in rules(study)[0].reason(asking(study, value=0.35), 21)


def test_trials_without_a_better_one_are_counted_from_the_best(study):
    found, _ = rules(study)
    settings = asking(study, no_improvement=3)
    told(study, 0.9, 0.7, 0.8, None)
    assert found.reason(settings, 20) == ""
    told(study, 0.7)
    assert found.reason(settings, 20) == (
        "3 trials ended without a better error than 0.7 of trial 1"
    )


def test_what_is_ignored_neither_reaches_nor_improves_anything(study):
    told(study, 0.9, 0.4, 0.8, 0.85)
    set_ignored(study.study, 1, "by anna: wrong data")
    assert rules(study)[0].reason(asking(study, value=0.5), 20) == ""
    assert rules(study)[0].reason(asking(study, no_improvement=2), 20) == ""


def test_a_gain_that_costs_too_many_device_hours_ends_the_search(study, monkeypatch):
    monkeypatch.setattr(stop_rules, "ended_account", lambda trial: Account(kept=1800.0))
    settings = asking(study, expected_gain_per_gpu_hour=0.05)
    told(study, *[1.0 - number / 5 for number in range(4)], *[0.3] * 9)
    found, _ = rules(study)
    assert found.reason(settings, 90) == ""  # the latest 10 gained 0.3 in 5 hours
    told(study, 0.3, 0.29)
    reason = found.reason(settings, 90)
    assert reason.startswith("the latest 10 trials gained 0.01 error in 5 device-hours, less than")


@pytest.mark.parametrize("terminator", [{"error": 10.0, "min_trials": 20}])
def test_optunas_terminator_is_asked_in_the_space_of_now(study, terminator):
    settings = asking(study, terminator=terminator)
    told(study, *[abs(number % 17 / 17 - 0.3) for number in range(19)])
    found, _ = rules(study)
    assert found.reason(settings, 90) == ""
    told(study, 0.5)
    assert found.reason(settings, 90).startswith("Optuna's terminator expects no more than")
    other = asking(study, terminator={"error": 1e-9})
    assert rules(study)[0].reason(other, 90) == ""
