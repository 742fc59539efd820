import json
import os
import subprocess
import sys

import psutil
import pytest

from orchestrator.launcher import processes
from orchestrator.launcher.environment import ROOT
from orchestrator.launcher.processes import session_members, since_boot, sweep
from protocol.errors import UserError
from protocol.files import write_json
from protocol.folders import TrialFolder
from protocol.messages import Started, load_plan
from tests.ranks import events, make_plan, wait_for


@pytest.fixture
def running(tmp_path, launcher):
    """A trial of two ranks in the midst of training, and its attempt."""
    trial = make_plan(tmp_path, ranks=2, recipe={"epochs": 10**5, "step_seconds": 0.02})
    attempt = launcher.launch(trial, load_plan(trial.plan))
    wait_for(lambda: events(trial, Started))
    yield trial, attempt
    attempt.kill()
    wait_for(lambda: attempt.poll() is not None)


def members(trial) -> list[psutil.Process]:
    record = json.loads(trial.attempt.read_text())
    return session_members(record["pid"], record["since_boot"])


def change_record(trial, **changes) -> None:
    record = json.loads(trial.attempt.read_text())
    trial.attempt.write_text(json.dumps(record | changes))


def test_sweeping_ends_the_group_that_the_folder_records(running):
    trial, attempt = running
    assert len(members(trial)) == 3
    assert sweep(trial) == 3
    assert members(trial) == []
    wait_for(lambda: attempt.poll() is not None)
    assert sweep(trial) == 0


def test_sweeping_ends_a_group_that_has_lost_its_leader_and_cannot_react(running):
    trial, attempt = running
    ranks = psutil.Process(attempt.pid).children()
    for rank in ranks:
        rank.suspend()
    os.kill(attempt.pid, 19)
    assert sweep(trial) == 3
    assert not any(rank.is_running() and rank.status() != "zombie" for rank in ranks)


@pytest.mark.parametrize("seconds", [-3600.0, -10.0, 10.0])
def test_a_process_that_was_given_the_same_number_later_is_left_alone(running, seconds):
    trial, attempt = running
    start = json.loads(trial.attempt.read_text())["since_boot"]
    change_record(trial, since_boot=start + seconds)
    assert sweep(trial) == 0
    assert psutil.Process(attempt.pid).children()
    change_record(trial, since_boot=start)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a start time stays as it was")
@pytest.mark.parametrize("seconds", [-86400.0, 3600.0])
def test_a_clock_that_was_set_hides_no_group(running, monkeypatch, seconds):
    trial, _ = running
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + seconds)
    assert sweep(trial) == 3


def test_other_programs_are_left_alone_whatever_the_record_says(tmp_path):
    trial = make_plan(tmp_path)
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as other:
        other.stdout.readline()
        start = since_boot(psutil.Process(other.pid))
        trial.attempt.write_text(json.dumps({"pid": other.pid, "since_boot": start}))
        assert sweep(trial) == 0
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize(
    "record", [None, "", "{}", "[]", '{"pid": 1}', '{"pid": "x", "since_boot": 1}']
)
def test_a_folder_without_a_record_has_nothing_to_sweep(tmp_path, record):
    trial = make_plan(tmp_path)
    if record is not None:
        trial.attempt.write_text(record)
    assert sweep(trial) == 0


def test_processes_that_do_not_end_are_told_in_a_sentence(tmp_path, monkeypatch):
    """Those in uninterruptible sleep; here any, whose end is not looked for."""
    trial = TrialFolder(tmp_path)
    write_json(trial.attempt, {"pid": 1, "since_boot": 0.0})
    monkeypatch.setattr(processes, "_GONE_SECONDS", 0.05)
    monkeypatch.setattr(processes, "end_session", lambda *_: [psutil.Process()])
    with pytest.raises(UserError, match=f"processes {os.getpid()} of .* do not end"):
        sweep(trial)
