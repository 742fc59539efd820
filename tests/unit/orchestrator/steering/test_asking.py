"""Who asks is answered, whoever holds the study."""

import json
import threading
import time

import pytest

from orchestrator.steering import asking as module
from orchestrator.steering.asking import ask
from orchestrator.steering.requests import Request, What, ask_for, pending, read_answers
from orchestrator.steering.steering import ENDED, Steering
from orchestrator.study.holding.lock import StudyLock, live_holder
from protocol.errors import SettingsError, StudyInUse, UserError
from protocol.folders import StudyFolder


@pytest.fixture
def folder(tmp_path):
    folder = StudyFolder(tmp_path / "x")
    folder.path.mkdir()
    folder.settings.write_text("{}\n")
    return folder


def silent(sentence):
    pass


def test_of_a_study_that_is_not_there_nothing_can_be_asked(tmp_path):
    with pytest.raises(SettingsError, match="there is no study"):
        ask(StudyFolder(tmp_path / "y"), Request(what=What.PAUSE), silent)
    assert not (tmp_path / "y").exists()


def test_where_nobody_holds_the_study_it_is_done_at_once_with_what_others_left(folder):
    ask_for(folder, Request(what=What.PAUSE))  # by a command that was killed
    assert ask(folder, Request(what=What.STOP), silent) == ENDED
    assert [line.request.what for line in read_answers(folder)] == [What.PAUSE, What.STOP]
    assert folder.pause.exists()
    assert not folder.lock.read_text()


def test_a_holder_takes_it_up_and_not_the_command(folder):
    stopped = threading.Event()
    steering = Steering(folder, stopped.set)
    ended = threading.Event()

    def hold():
        while not ended.is_set():
            steering.look()
            time.sleep(0.05)

    with StudyLock(folder.lock):
        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert ask(folder, Request(what=What.STOP), silent) != ENDED
        finally:
            ended.set()
            thread.join()
    assert stopped.is_set()


def refused(monkeypatch):
    def in_use(lock, say):
        raise StudyInUse("study 'x' is in use by process 1 on n1")

    monkeypatch.setattr(module, "StudyLock", in_use)


def test_what_a_holder_of_an_older_version_does_not_take_up_is_withdrawn(folder, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    with StudyLock(folder.lock):
        told = json.loads(folder.lock.read_text())
        del told["steered"]
        folder.lock.write_text(json.dumps(told))
        refused(monkeypatch)
        with pytest.raises(UserError, match=r"withdrawn.*process 1 on n1"):
            ask(folder, Request(what=What.STOP), silent)
    assert pending(folder) == []
    assert read_answers(folder) == []


def test_a_request_waits_as_long_as_its_holder_prepares_a_search_and_that_is_said(
    folder, monkeypatch
):
    for name, seconds in {"_PATIENCE": 0.2, "_WAIT": 0.3, "_HOLDER": 0.1}.items():
        monkeypatch.setattr(module, f"{name}_SECONDS", seconds)
    with StudyLock(folder.lock):
        monkeypatch.setattr(module, "holder_of", lambda folder: live_holder(folder.lock))
        refused(monkeypatch)
        steering = Steering(folder, lambda: None)
        taker = threading.Timer(1.0, steering.take_all)
        taker.start()
        said = []
        assert "stops" in ask(folder, Request(what=What.STOP), said.append)
        taker.join()
    (sentence,) = said
    assert "the request waits: process" in sentence


def test_a_study_that_is_deleted_meanwhile_is_not_waited_for(folder, monkeypatch):
    monkeypatch.setattr(module, "_HOLDER_SECONDS", 0.1)
    with StudyLock(folder.lock):
        threading.Timer(0.3, folder.settings.unlink).start()
        with pytest.raises(UserError, match="deleted meanwhile"):
            ask(folder, Request(what=What.STOP), silent)
