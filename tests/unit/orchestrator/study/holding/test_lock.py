import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.study.holding.lock import StudyLock, live_holder
from protocol.errors import StudyInUse

HOLD = """
import sys, time
from pathlib import Path
from orchestrator.study.holding.lock import StudyLock
with StudyLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "demo").mkdir()
    return tmp_path / "demo" / "lock"


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    root = Path(__file__).parents[4]
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_holder_is_refused_with_the_first_ones_name(path, holder):
    with pytest.raises(StudyInUse) as caught, StudyLock(path):
        pass
    message = str(caught.value)
    assert message.startswith(f"study 'demo' is in use by process {holder.pid} on ")
    assert os.uname().nodename in message
    assert "choose another --study_name" in message


def test_being_refused_leaves_the_first_holders_name_in_place(path, holder):
    for _ in range(2):
        with pytest.raises(StudyInUse, match=f"process {holder.pid} "), StudyLock(path):
            pass


def test_a_holder_killed_by_the_kernel_lets_go(path, holder):
    holder.kill()
    holder.wait()
    with StudyLock(path):
        assert f'"pid": {os.getpid()},' in path.read_text()


def test_the_lock_can_be_taken_again_after_a_failure_inside(path):
    with pytest.raises(ZeroDivisionError), StudyLock(path):
        _ = 1 / 0
    with StudyLock(path):
        pass
    assert path.read_text() == "", "nobody is named when nobody holds it"


@pytest.mark.parametrize(
    "content", ["", "not json", "[1]", "{}", "5", '{"pid": 1, "host": 2, "start": "x"}']
)
def test_a_holder_that_left_no_name_is_called_another_process(path, holder, content):
    path.write_text(content)
    with pytest.raises(StudyInUse, match="in use by another process;"), StudyLock(path):
        pass


def test_processes_started_while_it_is_held_do_not_hold_it(path):
    program = "import time; print('up', flush=True); time.sleep(60)"
    with StudyLock(path):
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, close_fds=False
        )
        assert child.stdout.readline() == b"up\n"
    with child:
        with StudyLock(path):
            assert child.poll() is None
        child.kill()


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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a start time stays as it was")
@pytest.mark.parametrize("seconds", [-86400.0, 3600.0])
def test_a_clock_that_was_set_makes_no_holder_dead(path, monkeypatch, seconds):
    boot = psutil.boot_time()
    with StudyLock(path):
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + seconds)
        assert live_holder(path) is not None


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
    from orchestrator.study.holding.lock import StudyLock

    path = tmp_path / "lock"
    with StudyLock(path):
        assert live_holder(path) is not None
    assert live_holder(path) is None
    with StudyLock(path):
        pass
