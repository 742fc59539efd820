"""Processes that stand still say where, or it is said why they cannot."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

ASK = """
import os, sys, time
from pathlib import Path
from worker.processes.stacks import Stacks

stacks = Stacks(range(3))
ready, told = os.pipe()

def in_the_waiting_room():
    time.sleep(60)

def in_the_loader():
    if os.fork() == 0:
        os.write(told, b".")
        in_the_waiting_room()
    time.sleep(60)

def stopped():
    os.kill(os.getpid(), 19)

pids = {}
for rank, stand in enumerate((in_the_waiting_room, in_the_loader, stopped)):
    pid = os.fork()
    if pid == 0:
        stacks.answer(rank)
        os.write(told, b".")
        stand()
    pids[pid] = rank
waiting = 4
while waiting:
    waiting -= len(os.read(ready, waiting))
time.sleep(0.3)
stacks.ask(pids, Path(sys.argv[1]))
os.killpg(0, 9)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    path = tmp_path_factory.mktemp("stacks") / "stacks_0.txt"
    command = [sys.executable, "-c", ASK, str(path)]
    process = subprocess.run(command, cwd=ROOT, start_new_session=True, timeout=60, check=False)
    assert process.returncode == -signal.SIGKILL
    return dict(enumerate(path.read_text().split("==== rank ")[1:]))


def test_each_rank_says_where_it_stands(told):
    assert len(told) == 3
    assert "in in_the_waiting_room" in told[0]
    assert "in in_the_loader" in told[1]


def test_so_do_the_processes_that_a_rank_has_started(told):
    rank, child = told[1].split("==== a process of rank 1")
    assert "in in_the_waiting_room" not in rank
    assert "in in_the_waiting_room" in child


def test_of_a_stopped_rank_it_is_said_that_it_is_stopped(told):
    assert "stopped (SIGSTOP)" in told[2]
    assert "most recent call first" not in told[2]
