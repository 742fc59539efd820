import json
import os
import socket
import subprocess
import time

from orchestrator.holder import live_holder


def lock(tmp_path, **changes):
    path = tmp_path / "lock"
    content = {"pid": os.getpid(), "host": socket.gethostname(), "start": time.time(), **changes}
    path.write_text(json.dumps(content))
    return path


def test_a_living_process_holds_its_lock(tmp_path):
    holder = live_holder(lock(tmp_path))
    assert holder is not None
    assert holder.pid == os.getpid()


def test_a_dead_process_holds_nothing(tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    assert live_holder(lock(tmp_path, pid=process.pid)) is None


def test_a_zombie_holds_nothing(tmp_path):
    process = subprocess.Popen(["true"])
    time.sleep(0.3)
    assert live_holder(lock(tmp_path, pid=process.pid)) is None
    process.wait()


def test_a_process_that_came_by_a_dead_holders_number_holds_nothing(tmp_path):
    assert live_holder(lock(tmp_path, start=time.time() - 1e6)) is None


def test_a_holder_on_another_host_counts_as_alive(tmp_path):
    holder = live_holder(lock(tmp_path, host="elsewhere", pid=1))
    assert holder is not None
    assert holder.host == "elsewhere"


def test_no_file_an_empty_file_and_a_torn_file_are_held_by_nobody(tmp_path):
    path = tmp_path / "lock"
    assert live_holder(path) is None
    for content in ("", '{"pid": 1', "[]", '{"pid": null, "host": "x", "start": 0}'):
        path.write_text(content)
        assert live_holder(path) is None


def test_looking_does_not_turn_an_orchestrator_away(tmp_path):
    from orchestrator.lock import StudyLock

    path = tmp_path / "lock"
    with StudyLock(path):
        assert live_holder(path) is not None
    assert live_holder(path) is None
    with StudyLock(path):
        pass
