"""Who searches a study on a real Slurm: a shell or a job, one at a time, and how it ends."""

from __future__ import annotations

import json
import socket

import pytest

from tests.slurm.test_study import assert_nothing_is_left, attempts
from tests.studio import Studio, finish, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def status(studio: Studio) -> dict:
    code, output = studio.command("status", "--json")
    assert code in (0, 1), output
    return json.loads(output)


def orchestrator_of(studio: Studio) -> str:
    """Slurm's number of the job in which a study is searched."""
    return json.loads((studio.folder.jobs / "orchestrator.json").read_text())["id"]


def detach(studio: Studio) -> str:
    studio.change(launcher={"orchestrator": {"mem_gb": 1.5, "cpus_per_task": 1}})
    code, output = studio.run("--detach")
    assert code == 0, output
    number = orchestrator_of(studio)
    assert f"searched by job {number}" in output
    return number


def test_a_detached_search_leaves_at_its_signal_and_its_successor_ends_the_study(studio, cluster):
    studio.change(n_trials=3, recipe={"step_seconds": 0.4})
    first = detach(studio)
    code, output = studio.command("status")
    assert f"its orchestrator is job {first}, " in output, "which has not begun the study"
    studio.wait_for_event(0, "started", seconds=120)
    assert status(studio)["orchestrator_job"].startswith(f"job {first}, ")
    code, output = studio.run("--detach")
    assert code != 0
    assert first in output, "a second one is refused by naming the first"
    studio.wait_for_event(0, "validated")
    cluster.run("scancel", "--batch", "--signal=USR2", first)  # as before its time limit
    wait_until(lambda: orchestrator_of(studio) != first, 60, "successor")
    cluster.wait_for_state(first, "COMPLETED")
    second = orchestrator_of(studio)
    cluster.wait_for_state(second, "COMPLETED", "FAILED", seconds=200)
    printed = next(studio.folder.jobs.glob(f"{second}_*.out")).read_text()
    assert cluster.state(second) == "COMPLETED", printed
    assert "is taken up" in printed
    assert studio.states() == ["COMPLETE"] * 3
    assert [attempts(studio, trial) for trial in range(3)] == [1, 1, 1]
    assert_nothing_is_left(studio, cluster)


def test_cancel_ends_a_detached_search_with_all_its_jobs(studio, cluster):
    studio.change(n_trials=2, recipe={"step_seconds": 60.0})
    detach(studio)
    studio.wait_for_event(0, "started", seconds=120)
    code, output = studio.run("--cancel")
    assert code == 0, output
    assert cluster.squeue() == {}
    assert not studio.folder.stop.exists(), "or the next search would stop at once"
    assert_nothing_is_left(studio, cluster)


@pytest.mark.long
def test_cancel_ends_the_jobs_of_a_search_that_was_killed(studio, cluster):
    studio.change(n_trials=2, recipe={"step_seconds": 60.0})
    run = studio.start()
    for trial in (0, 1):
        studio.wait_for_event(trial, "started")
    run.kill()
    run.communicate()
    # As where a kill came between sbatch's answer and its being written down.
    job = next(path for path in studio.folder.jobs.iterdir() if path.name.isdigit())
    (job / "id").unlink()
    assert len(cluster.squeue()) == 2
    code, output = studio.run("--cancel")
    assert code == 0, output
    assert "2 jobs ended" in output
    assert_nothing_is_left(studio, cluster)
    assert studio.states() == ["RUNNING", "RUNNING"]


def test_a_second_search_is_refused_by_naming_the_first_which_cancel_ends(studio, cluster):
    studio.change(n_trials=1, recipe={"step_seconds": 60.0})
    run = studio.start()
    studio.wait_for_event(0, "started")
    code, output = studio.run()
    assert code != 0
    assert f"in use by process {run.pid} on {socket.gethostname()}" in output
    assert "Traceback" not in output
    code, output = studio.run("--cancel")
    assert code == 0, output
    assert f"asking process {run.pid} on {socket.gethostname()} to stop at once" in output
    code, output = finish(run)
    assert code == 130, output
    assert_nothing_is_left(studio, cluster)


@pytest.mark.long
def test_a_holder_on_a_dead_host_is_found_dead_through_slurm(studio, cluster):
    ended = cluster.submit("exit 0")
    cluster.wait_for_state(ended, "COMPLETED")
    running = cluster.submit("sleep 600")
    cluster.wait_for_state(running, "RUNNING")
    studio.folder.path.mkdir(parents=True)
    holder = {"pid": 1, "host": "far", "job": running, "beat": 7, "time": 1.0}
    (studio.folder.path / "holder").write_text(json.dumps(holder) + "\n")
    studio.change(n_trials=1)
    code, output = studio.run()
    assert code != 0
    assert "in use by process 1 on far" in output
    assert f"(job {running})" in output
    cluster.run("scancel", running)
    cluster.wait_for_state(running, "CANCELLED")
    code, output = studio.run()
    assert code == 0, output
    assert f"Slurm says CANCELLED of job {running}" in output
    assert_nothing_is_left(studio, cluster)
