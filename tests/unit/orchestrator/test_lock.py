import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import StudyInUse
from orchestrator.lock import StudyLock

HOLD = """
import sys, time
from pathlib import Path
from orchestrator.lock import StudyLock
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
    root = Path(__file__).parents[3]
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
