import contextlib
import fcntl
import io
import logging
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from orchestrator.running.session import (
    Session,
    held,
    logging_to,
    open_session,
    refuse_confirmations,
)
from orchestrator.settings.layers import Asked
from orchestrator.steering.requests import Request, What, ask_for, read_answers
from orchestrator.study.storage import identity_of
from orchestrator.study.study_file import StudyFile, read_study_file, write_study_file
from protocol.errors import SettingsError, StudyInUse, UserError
from protocol.folders import StudyFolder
from tests.searches import NUMBERS, make_settings


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "x")


def test_a_folder_in_which_nothing_was_begun_goes_again(folder):
    with held(folder):
        assert folder.lock.exists()
    assert not folder.path.exists()


def begin_and_fail(folder):
    with held(folder):
        folder.settings.touch()
        raise UserError("no data")


def test_a_folder_in_which_something_was_begun_stays_also_after_an_error(folder):
    with pytest.raises(UserError):
        begin_and_fail(folder)
    assert folder.settings.exists()


def test_a_folder_that_was_there_stays(folder):
    folder.path.mkdir()
    with held(folder):
        pass
    assert folder.path.exists()


def test_a_folder_is_held_by_one_at_a_time(folder):
    with held(folder), pytest.raises(StudyInUse), held(folder):
        raise AssertionError("both hold it")


def test_who_is_refused_leaves_the_holders_folder_alone_however_late_it_notices(
    folder, monkeypatch
):
    """Two first starts in one instant: both found no folder, and only one got the lock."""
    seen_by_both = folder.path
    exists = type(seen_by_both).exists
    monkeypatch.setattr(type(seen_by_both), "exists", lambda p: p != seen_by_both and exists(p))
    with held(folder):
        with pytest.raises(StudyInUse), held(folder):
            raise AssertionError("both hold it")
        assert exists(folder.lock)
    assert not exists(folder.path)


def test_a_lock_in_a_folder_that_its_holder_removes_is_taken_anew(folder, monkeypatch):
    """The second start opens the lock's file, and the first one gives up before it is locked."""
    first, flock = held(folder), fcntl.flock
    first.__enter__()

    def late(descriptor, how):
        monkeypatch.setattr(fcntl, "flock", flock)
        first.__exit__(None, None, None)
        assert not folder.path.exists()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with held(folder):
        assert f'"pid": {os.getpid()}' in folder.lock.read_text()
        with pytest.raises(StudyInUse), held(folder):
            raise AssertionError("both hold it")
        folder.settings.touch()
    assert folder.settings.exists()
    assert [path.name for path in folder.path.parent.iterdir()] == ["x"]


def test_only_a_studys_own_folder_of_confirmations_is_refused(folder, monkeypatch):
    refuse_confirmations(folder.confirmations)
    folder.path.mkdir()
    folder.settings.touch()
    refuse_confirmations(folder)
    refuse_confirmations(StudyFolder(folder.path / "other"))
    for path in (folder.confirmations.path, folder.confirmations.path.relative_to(folder.path)):
        monkeypatch.chdir(folder.path)
        with pytest.raises(SettingsError, match="confirm --study_name x"):
            refuse_confirmations(StudyFolder(path))


def work_and_raise(log, error):
    with logging_to(log):
        logging.getLogger("orchestrator.anything").info("at work")
        raise error


def test_a_defect_leaves_its_traceback_in_the_log_and_a_users_mistake_none(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(UserError):
        work_and_raise(log, UserError("a wrong key"))
    assert "at work" in log.read_text()
    assert "Traceback" not in log.read_text()
    with pytest.raises(ZeroDivisionError):
        work_and_raise(log, ZeroDivisionError())
    assert "Traceback" in log.read_text()


def test_a_log_for_which_there_is_no_room_neither_speaks_nor_ends_the_run(capsys):
    with logging_to(Path("/dev/full")):
        logging.getLogger("orchestrator.anything").info("at work")
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------- steering


def test_runs_of_a_confirmation_are_stopped_and_paused_by_requests_to_their_search(folder):
    folder.path.mkdir()
    with open_session(
        folder.confirmations, "x.confirm", Console(file=io.StringIO()), steered=folder
    ) as session:
        ask_for(folder, Request(what=What.PAUSE))
        ask_for(folder, Request(what=What.STOP))
        assert session.steered() == []  # none of which is about one of its own trials
        assert session.steering.paused() is not None
        assert session.interrupts.count == 1
    assert [line.refused for line in read_answers(folder)] == [False, False]


# ------------------------------------------------------------------------------- the token


@pytest.fixture
def session(folder):
    folder.path.mkdir()
    session = Session(folder, "x", Mock(), Mock(count=0), contextlib.ExitStack(), Mock())
    session.settings = make_settings(NUMBERS, {})
    session.inputs, session._files = {}, {}
    return session


def kill_at(session, monkeypatch, step):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"orchestrator.running.session.{step}", killed)
        with pytest.raises(KeyboardInterrupt):
            session.keep_study(known(session))


def known(session):
    return StudyFile(asked=Asked(), settings=session.settings)


def test_a_kill_between_the_settings_and_the_database_leaves_one_token(session, monkeypatch):
    kill_at(session, monkeypatch, "open_study")
    token = read_study_file(session.folder).identity
    assert token
    assert identity_of(session.keep_study(known(session))) == token
    assert read_study_file(session.folder).identity == token


def test_a_study_of_an_earlier_version_is_given_a_token_by_its_database_first(session, monkeypatch):
    write_study_file(session.folder, known(session))
    kill_at(session, monkeypatch, "identity_of")
    assert read_study_file(session.folder).identity == ""
    token = identity_of(session.study)
    session.keep_study(known(session))
    assert token == identity_of(session.study) == read_study_file(session.folder).identity


def test_a_token_that_an_earlier_version_has_dropped_from_the_settings_is_found_again(session):
    token = identity_of(session.keep_study(known(session)))
    write_study_file(session.folder, known(session))
    assert identity_of(session.keep_study(known(session))) == token
