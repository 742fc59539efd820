import errno
import os

import pytest

from orchestrator.running import room
from protocol.folders import StudyFolder


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "no room"),
        OSError(errno.EDQUOT, "quota"),
        RuntimeError("database or disk is full"),
    ],
)
def test_a_full_disk_is_known_however_deep_its_cause_lies(cause):
    error = RuntimeError("could not be stored")
    error.__cause__ = cause
    assert room.comes_of_full_disk(error)
    assert not room.comes_of_full_disk(RuntimeError("could not be stored"))


def test_room_is_found_by_taking_it_and_given_back(tmp_path, monkeypatch):
    assert room.has_room(tmp_path, 1 << 20)
    assert not list(tmp_path.iterdir())

    def full(*_):
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not room.has_room(tmp_path, 1 << 20)
    assert not list(tmp_path.iterdir())


def test_a_study_waits_until_there_is_room_or_until_nobody_wants_to_wait(tmp_path, monkeypatch):
    folder = StudyFolder(tmp_path)
    looks = iter([False, False, True])
    monkeypatch.setattr(room, "has_room", lambda *_: next(looks))
    assert room.wait_for_room(folder, lambda _: True)
    monkeypatch.setattr(room, "has_room", lambda *_: False)
    assert not room.wait_for_room(folder, lambda _: False)


def test_room_for_two_of_the_largest_checkpoints_is_waited_for(tmp_path):
    place = StudyFolder(tmp_path).trial(3).fold(1).path
    place.mkdir(parents=True)
    with (place / "last.pth").open("wb") as stream:
        stream.truncate(100 << 20)
    assert room.room_needed(StudyFolder(tmp_path)) == 200 << 20
