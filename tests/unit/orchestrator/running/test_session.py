import errno
import fcntl
import logging
import os

import pytest

from orchestrator.running.search import disk_trouble
from orchestrator.running.session import held, logging_to, refuse_confirmations
from protocol.errors import SettingsError, StudyInUse, UserError
from protocol.folders import StudyFolder


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


def test_a_disk_that_cannot_be_written_is_told_in_a_sentence(folder):
    readonly = disk_trouble(RuntimeError("attempt to write a readonly database"), folder)
    assert str(folder.database) in str(readonly)


def test_what_is_no_trouble_with_the_disk_is_left_a_defect(folder):
    assert disk_trouble(OSError(errno.EBADF, "bad descriptor"), folder) is None


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
