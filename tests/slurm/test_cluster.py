"""That the cluster of these tests does what a real one does, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.slurm.cluster import missing, wait_until

ROOT = Path(__file__).resolve().parents[2]
WHOLE = ("--nodes=2", "--exclusive")
HELD = """
from pathlib import Path
from sys import argv
from time import sleep
from tests.slurm.cluster import Cluster

cluster = Cluster(Path(argv[1]))
cluster.start()
cluster.submit("srun sleep 600", "--nodes=2")
sleep(600)
"""


def test_a_job_of_two_nodes_has_its_steps_on_both(cluster):
    job = cluster.submit("srun bash -c 'echo $SLURMD_NODENAME'", "--nodes=2")
    cluster.wait_for_state(job, "COMPLETED")
    assert sorted(cluster.output(job).split()) == ["n1", "n2"]


@pytest.mark.long
def test_a_preempted_job_hears_of_it_and_is_started_again(cluster):
    script = """
        trap "echo asked; exit 1" TERM
        echo start ${SLURM_RESTART_COUNT:-0}
        [[ ${SLURM_RESTART_COUNT:-0} = 1 ]] || { sleep 60 & wait; }"""
    low = cluster.submit(script, *WHOLE)
    cluster.wait_for_state(low, "RUNNING")
    high = cluster.submit("sleep 1", *WHOLE, "--partition=high")
    cluster.wait_for_state(high, "COMPLETED")
    cluster.wait_for_state(low, "COMPLETED")
    said = [line for line in cluster.output(low).splitlines() if line.startswith(("start", "ask"))]
    assert said == ["start 0", "asked", "start 1"]
    assert cluster.job(low)["Restarts"] == "1"


@pytest.mark.long
def test_a_job_over_its_time_limit_is_warned_asked_and_ended(cluster):
    script = """
        trap "echo warned" USR1
        trap "echo asked" TERM
        while :; do sleep 0.1; done"""
    job = cluster.submit(script, "--time=5", "--signal=B:USR1@30")
    cluster.wait_for_state(job, "RUNNING")
    cluster.end_in(job, 3)
    cluster.wait_for_state(job, "TIMEOUT", seconds=90)
    said = [line for line in cluster.output(job).splitlines() if line in {"warned", "asked"}]
    assert sorted(said) == ["asked", "warned"]


@pytest.mark.long
def test_a_controller_that_was_away_knows_the_jobs(cluster):
    running = cluster.submit("sleep 8; echo done", *WHOLE)
    cluster.wait_for_state(running, "RUNNING")
    waiting = cluster.submit("echo done", *WHOLE)
    cluster.kill_controller()
    assert cluster.asked("scontrol", "ping").returncode != 0
    cluster.start_controller()
    for job in (running, waiting):
        cluster.wait_for_state(job, "COMPLETED")
        assert cluster.output(job) == "done\n"
        assert cluster.job(job)["Restarts"] == "0"


@pytest.mark.long
def test_a_node_that_loses_power_fails_its_jobs_and_comes_back(cluster):
    job = cluster.submit("echo $$; exec sleep 600", "--nodelist=n2", "--no-requeue")
    wait_until(lambda: cluster.output(job), 10, "output")
    process = psutil.Process(int(cluster.output(job)))
    cluster.node_down("n2")
    assert not process.is_running()
    cluster.wait_for_state(job, "NODE_FAIL", seconds=90)
    assert cluster.node_states() == {"n1": "idle", "n2": "down"}
    cluster.node_up("n2")
    assert cluster.node_states() == {"n1": "idle", "n2": "idle"}


def test_a_node_that_is_set_down_loses_its_job_at_once(cluster):
    job = cluster.submit("sleep 600", "--nodelist=n2", "--no-requeue")
    cluster.wait_for_state(job, "RUNNING")
    cluster.set_node("n2", "down")
    cluster.wait_for_state(job, "NODE_FAIL", seconds=10)


@pytest.mark.slow
def test_a_job_that_takes_more_memory_than_it_asked_for_is_killed(cluster):
    script = f"exec {sys.executable} -c 'import time; held = b\"x\" * 2**29; time.sleep(600)'"
    job = cluster.submit(script, "--mem=100")
    cluster.wait_for_state(job, "FAILED")
    assert cluster.job(job)["ExitCode"] == "0:9"


@pytest.mark.skipif(bool(missing()), reason=missing() or "there is one")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_nothing_is_left_of_a_cluster_whose_tests_were_killed(tmp_path, how):
    folder = tmp_path / "slurm"
    holder = subprocess.Popen([sys.executable, "-c", HELD, folder], cwd=ROOT)
    try:
        wait_until(lambda: len(_steps_of(folder)) == 2, 30, "job of two nodes")
        processes = psutil.Process(holder.pid).children(recursive=True) + _steps_of(folder)
        assert {process.name() for process in processes} >= {"munged", "slurmctld", "slurmd"}
    finally:
        holder.send_signal(how)
        holder.wait(30)
    _, left = psutil.wait_procs(processes, timeout=30)
    assert left == []
    assert not any(path.is_socket() for path in folder.rglob("*"))


def _steps_of(folder):
    named = [process for process in psutil.process_iter(["name"]) if process.name() == "sleep"]
    return [process for process in named if str(folder) in process.environ().get("SLURM_CONF", "")]
