"""A command's process ends when it should, with all that it has started."""

import functools
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import psutil
import pytest

from tests.studio import wait_until
from worker.scripts.child import Child, NotFound, end_descendants

SLEEP = [sys.executable, "-c", "import time; time.sleep(100)"]
ORPHAN = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"],
                         start_new_session=True)
print(child.pid, flush=True)
"""


def apart(test):
    """Run a test in a fork: it takes what is left by others, and ends all of its descendants."""

    @functools.wraps(test)
    def run(tmp_path):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                test(tmp_path)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    return run


def started(tmp_path, command, **more):
    return Child(command, workdir=str(tmp_path), environment=os.environ | more)


def ended(child):
    codes = []
    wait_until(lambda: (code := child.wait(0.05)) is not None and not codes.append(code), 20, "end")
    return codes[0]


@apart
def test_it_runs_where_it_should_and_its_code_is_known(tmp_path):
    program = "import os, sys; open('here', 'w').write(os.environ['X']); sys.exit(7)"
    child = started(tmp_path, [sys.executable, "-c", program], X="1")
    assert ended(child) == 7
    assert (tmp_path / "here").read_text() == "1"


@apart
def test_a_program_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(NotFound, match="no-such-program: No such file or directory"):
        started(tmp_path, ["no-such-program"])


@apart
def test_a_signal_reaches_the_program_behind_a_shell(tmp_path):
    program = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); "
        "open('up', 'w').close(); time.sleep(100)"
    )
    child = started(tmp_path, ["bash", "-c", f'{sys.executable} -c "{program}"; exit $?'])
    wait_until((tmp_path / "up").exists, 20, "start")
    child.ask()
    assert ended(child) == 3


@apart
def test_killing_takes_along_what_it_has_started(tmp_path):
    child = started(tmp_path, ["bash", "-c", f"{' '.join(SLEEP[:2])} '{SLEEP[2]}' & wait"])
    wait_until(lambda: len(psutil.Process().children(recursive=True)) == 2, 20, "grandchild")
    below = psutil.Process().children(recursive=True)
    child.kill()
    wait_until(lambda: not any(_runs(process) for process in below), 20, "end of all")


@apart
def test_what_it_leaves_behind_in_a_session_of_its_own_is_ended_too(tmp_path):
    program = ORPHAN.replace(
        "print(child.pid, flush=True)", "open('pid', 'w').write(str(child.pid))"
    )
    child = started(tmp_path, [sys.executable, "-c", program])
    assert ended(child) == 0
    orphan = psutil.Process(int((tmp_path / "pid").read_text()))
    assert orphan.ppid() == os.getpid(), "the kernel gave it to this process"
    end_descendants()
    wait_until(lambda: not _runs(orphan), 20, "its end")


def test_it_ends_with_the_process_that_has_started_it(tmp_path):
    program = (
        "import os, time\nfrom worker.scripts.child import Child\n"
        f"child = Child({SLEEP!r}, workdir='/', environment=os.environ)\n"
        "print(child._process.pid, flush=True); time.sleep(100)"
    )
    root = Path(__file__).resolve().parents[4]
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.1)
    parent.kill()
    parent.wait()
    wait_until(lambda: not _runs(child), 20, "its end")


def _runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
