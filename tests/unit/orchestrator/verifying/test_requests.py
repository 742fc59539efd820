"""What was asked of a study is what was done."""

from unittest import mock

import pytest

from orchestrator.steering.requests import Request, What, ask_for, read_answers, record
from orchestrator.steering.steering import Steering
from orchestrator.verifying.findings import Report
from orchestrator.verifying.requests import check_requests
from tests.searches import SmallSearch, make_settings


@pytest.fixture
def search(tmp_path):
    settings = make_settings({"rate": {"low": 0.1, "high": 1.0}}, {"kind": "random"})
    search = SmallSearch(tmp_path, settings)
    search.study.ask()
    ask_for(search.folder, Request(what=What.STOP_TRIAL, trial=0))
    steering = Steering(search.folder, None)
    steering.open(search.study, mock.Mock())
    steering.take_all()
    return search


def problems(search):
    report = Report()
    check_requests(report, search.study, search.folder)
    return [finding.problem for finding in report.found]


def test_a_request_that_was_done_fits(search):
    assert problems(search) == []


def test_one_done_twice_is_found(search):
    record(search.folder, read_answers(search.folder)[0])
    (problem,) = problems(search)
    assert "2 times" in problem


def test_one_that_the_study_does_not_know_is_found(search):
    number = search.study.ask().number
    line = read_answers(search.folder)[0]
    request = line.request.model_copy(update={"trial": number})
    record(search.folder, line.model_copy(update={"id": "other", "request": request}))
    assert problems(search) == [
        "trial 1 was to be stopped, of which the study does not know",
    ]


def test_a_stop_that_no_line_tells_of_is_found(search):
    search.folder.requests_journal.unlink()
    (problem,) = problems(search)
    assert "does not know" in problem
