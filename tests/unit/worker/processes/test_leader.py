import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.processes.leader import ProgressBoard

ROOT = Path(__file__).parents[4]


def test_the_slowest_of_some_ranks_is_the_one_that_made_progress_longest_ago():
    board = ProgressBoard(range(3))
    time.sleep(0.05)
    board.tick(1)
    time.sleep(0.05)
    board.tick(0)
    assert board.slowest([0, 1, 2], time.monotonic())[0] == 2
    assert board.slowest([0, 1], time.monotonic())[0] == 1
    assert 0.04 < board.slowest([0, 1], time.monotonic())[1] < 5.0


def test_progress_is_seen_across_processes():
    board = ProgressBoard(range(1))
    time.sleep(0.2)
    child = os.fork()
    if child == 0:
        board.tick(0)
        os._exit(0)
    os.waitpid(child, 0)
    assert board.slowest([0], time.monotonic())[1] < 0.2


WATCH = """
import json, os, sys, time
from worker.processes import leader

def fork(rank, behave):
    pid = os.fork()
    if pid == 0:
        code = behave() or 0
        board.end(rank)
        os._exit(code)
    return pid

def work(seconds, rank=0):
    for _ in range(int(seconds / 0.05)):
        board.tick(rank)
        time.sleep(0.05)

wake = leader._wake_on_child()
board = leader.ProgressBoard(range(2))
lifeline, _keep = os.pipe()
behaviour = {
    "one ends early": (lambda: work(2.0), lambda: 0),
    "one hangs": (lambda: work(60.0), lambda: time.sleep(60)),
    "both work": (lambda: work(3.0), lambda: work(3.0, rank=1)),
    "one fails": (lambda: work(60.0), lambda: 3),
    "one fails, the other says why": (lambda: work(1.0), lambda: 3),
    "one is killed": (lambda: work(60.0), lambda: os.kill(os.getpid(), 9)),
    "one leaves without a word": (lambda: work(60.0), lambda: os._exit(0)),
}[sys.argv[1]]
pids = {fork(rank, behave): rank for rank, behave in enumerate(behaviour)}
group = leader.RankProcesses(pids, board.ended)
start = time.monotonic()
print("begun", flush=True)
leader._watch(group, board, wake, lifeline, hang_seconds=float(sys.argv[2]))
seconds = time.monotonic() - start
print(json.dumps([group.codes, group.first, group.hung, seconds]))
"""


@pytest.mark.parametrize(
    ("case", "codes", "first", "hung", "least", "most"),
    [
        ("one ends early", {"0": 0, "1": 0}, None, None, 2.0, 8.0),
        ("one hangs", {"0": -9, "1": -9}, ..., 1, 0.6, 4.0),
        ("one fails", {"0": -9, "1": 3}, 1, None, 2.9, 8.0),
        ("one fails, the other says why", {"0": 0, "1": 3}, 1, None, 0.9, 2.9),
        ("one is killed", {"0": -9, "1": -9}, 1, None, 0.0, 2.5),
        ("one leaves without a word", {"0": -9, "1": 0}, 1, None, 2.9, 8.0),
    ],
)
def test_a_group_is_watched_to_its_end(case, codes, first, hung, least, most):
    """A rank that ended well is no longer watched; the peers of a failed one have time to speak."""
    answer = subprocess.run(
        [sys.executable, "-c", WATCH, case, "0.7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found[0] == codes
    assert first is ... or found[1] == first
    assert found[2] == hung
    assert least <= found[3] <= most


@pytest.fixture
def session():
    """Starts a leader with its ranks in a session of their own, to be signalled together."""
    started = []

    def start(case, hang_seconds):
        command = [sys.executable, "-c", WATCH, case, str(hang_seconds)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == "begun\n"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def suspended(process, seconds):
    """Suspend all together; the leader wakes first, and looks."""
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)
    time.sleep(0.8)
    os.killpg(process.pid, signal.SIGCONT)


def test_a_group_that_was_suspended_with_its_leader_is_not_hung(session):
    process = session("both work", 2.0)
    time.sleep(0.5)
    suspended(process, 4.0)
    assert json.loads(process.stdout.read())[:3] == [{"0": 0, "1": 0}, None, None]


def test_a_rank_that_hangs_is_found_after_the_group_was_suspended_too(session):
    process = session("one hangs", 2.0)
    suspended(process, 3.0)
    assert json.loads(process.stdout.read())[2] == 1


def test_a_leader_that_is_stopped_in_the_midst_of_a_look_takes_nobody_for_hung():
    """It has read the time, and reads the ranks' progress long after."""
    board = ProgressBoard(range(1))
    now = time.monotonic()
    time.sleep(0.3)
    assert board.slowest([0], now)[1] < 0.1
