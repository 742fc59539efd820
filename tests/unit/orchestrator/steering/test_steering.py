"""A request is acted on once, whatever is killed in between."""

import time
from unittest import mock

import pytest
from optuna.trial import TrialState

from orchestrator.steering import steering as module
from orchestrator.steering.requests import (
    Request,
    What,
    ask_for,
    pending,
    read_answers,
    record,
    withdraw,
)
from orchestrator.steering.steering import ENDED, Steering
from orchestrator.steering.trials import reason_to_stop
from tests.searches import SmallSearch, make_settings


@pytest.fixture
def search(tmp_path):
    search = {"learning_rate": {"low": 1e-3, "high": 1e-1}}
    return SmallSearch(tmp_path, make_settings(search, {"kind": "random"}))


@pytest.fixture
def stop():
    return mock.Mock()


def held(search, stop=None):
    steering = Steering(search.folder, stop)
    steering.open(search.study, mock.Mock())
    return steering


def answers(folder):
    return [line.answer for line in read_answers(folder)]


def asked(folder, what, **more):
    request = Request(what=what, **more)
    ask_for(folder, request)
    return request


def test_a_request_is_taken_up_answered_with_who_asked_and_gone(search, stop):
    request = asked(search.folder, What.STOP, why="lunch")
    steering = Steering(search.folder, stop)
    steering.look()
    stop.assert_called_once_with()
    (line,) = read_answers(search.folder)
    assert (line.id, line.request, line.refused) == (request.id, request, False)
    assert line.request.user
    assert line.request.host
    assert pending(search.folder) == []


@pytest.mark.parametrize("killed_at", ["record", "unlink"])
def test_one_half_done_is_finished_by_the_next_holder_and_recorded_once(
    search, killed_at, monkeypatch
):
    trial = search.study.ask()
    asked(search.folder, What.STOP_TRIAL, trial=trial.number, why="first")

    def killed(*arguments, **options):
        if killed_at == "unlink":
            record(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "record", killed)
    with pytest.raises(KeyboardInterrupt):
        held(search).take_all()
    monkeypatch.undo()
    assert len(pending(search.folder)) == 1
    held(search).take_all()
    assert pending(search.folder) == []
    assert answers(search.folder) == ["trial 0 ends as pruned, with what it has"]
    assert "first" in reason_to_stop(search.study.trials[0])


def test_two_who_ask_at_once_are_both_answered(search):
    trial = search.study.ask()
    for pid in (1, 2):
        asked(search.folder, What.STOP_TRIAL, trial=trial.number, time=5.0, pid=pid, why=str(pid))
    held(search).take_all()
    assert len(answers(search.folder)) == 2
    assert reason_to_stop(search.study.trials[0]).endswith(": 1")


def test_what_was_withdrawn_is_not_done_and_what_was_taken_cannot_be_withdrawn(search, stop):
    request = asked(search.folder, What.STOP)
    assert withdraw(search.folder, request)
    steering = Steering(search.folder, stop)
    steering.take_all()
    stop.assert_not_called()
    other = asked(search.folder, What.STOP)
    steering.take_all()
    assert not withdraw(search.folder, other)


def test_a_trial_that_ended_or_never_was_is_refused(search):
    search.study.tell(search.study.ask(), 1.0, state=TrialState.COMPLETE)
    asked(search.folder, What.STOP_TRIAL, trial=0)
    asked(search.folder, What.STOP_TRIAL, trial=7)
    assert held(search).take_all() == []
    assert answers(search.folder) == [
        "trial 0 has ended already, as COMPLETE",
        "there is no trial 7",
    ]
    assert all(line.refused for line in read_answers(search.folder))


def test_a_request_about_a_trial_waits_for_the_study_to_be_open(search):
    search.study.ask()
    asked(search.folder, What.STOP_TRIAL, trial=0)
    steering = Steering(search.folder, None)
    assert steering.take_all() == []
    assert answers(search.folder) == []
    steering.open(search.study, mock.Mock())
    assert [request.trial for request in steering.take_all()] == [0]


def test_a_stop_that_came_too_late_does_not_stop_the_next_run(search, stop):
    asked(search.folder, What.STOP)
    asked(search.folder, What.PAUSE)
    steering = Steering(search.folder, stop)
    steering.refuse_stale()
    assert answers(search.folder) == [ENDED]
    steering.look()
    stop.assert_not_called()
    assert steering.paused()


def test_what_another_version_asks_for_is_refused_and_not_asked_for_ever(search, stop):
    search.folder.requests.mkdir()
    (search.folder.requests / "1-host-2.json").write_text('{"what": "fly"}\n')
    held(search, stop).take_all()
    (line,) = read_answers(search.folder)
    assert line.refused
    assert pending(search.folder) == []


def test_a_pause_outlives_its_orchestrator_and_ends_by_resume_or_by_its_time(search):
    asked(search.folder, What.PAUSE)
    Steering(search.folder, None).take_all()
    later = Steering(search.folder, None)
    assert later.paused().told.endswith("until it is resumed")
    asked(search.folder, What.RESUME)
    later.take_all()
    assert later.paused() is None
    asked(search.folder, What.PAUSE, until=time.time() + 0.2)
    later.take_all()
    assert later.paused()
    time.sleep(0.25)
    assert later.paused() is None
    assert Steering(search.folder, None).paused() is None
