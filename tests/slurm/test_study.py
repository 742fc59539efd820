"""Studies on a real Slurm: whatever happens to jobs, nodes, orchestrator, nothing is lost."""

from __future__ import annotations

import copy
import json
import signal
import sys
import time

import pytest

from protocol.messages import Ending, Started, Stopped, load_outcome, load_plans
from tests.faults.invariants import results
from tests.slurm.cluster import Cluster
from tests.studio import ROOT, Studio, finish, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def studio(studio):
    studio.change(limits={"hang_seconds": 60.0}, recipe={"epochs": 4, "step_seconds": 0.1})
    return studio


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, launcher):
    """What one trial of two ranks comes to on one machine, whatever else is asked of it."""
    whole = Studio(tmp_path_factory.mktemp("whole"), launcher=launcher)
    whole.change(recipe={"epochs": 4}, parallel={"kind": "ddp", "ranks": 2}, n_trials=2, threads=1)
    code, output = whole.run()
    assert code == 0, output
    return whole


def two_ranks(studio: Studio, **sections) -> None:
    studio.change(parallel={"kind": "ddp", "ranks": 2}, threads=1, **sections)


def job_of(studio: Studio, trial: int = 0) -> str:
    """Slurm's number of the job in which a trial is."""
    record = json.loads(studio.trial(trial).attempt.read_text())
    place = studio.folder.jobs / str(record["job"])
    wait_until((place / "id").exists, 20, "number of the job")
    return (place / "id").read_text().strip()


def attempts(studio: Studio, trial: int = 0) -> int:
    return len(load_plans(studio.trial(trial)))


def assert_nothing_is_left(studio: Studio, cluster: Cluster) -> None:
    wait_until(lambda: cluster.squeue() == {}, 30, "empty queue")
    studio.wait_for_silence(30)
    assert [path.name for path in studio.folder.jobs.iterdir() if path.name.isdigit()] == []
    assert list(studio.folder.path.rglob(".*.partial")) == []


def assert_like(studio: Studio, whole: Studio) -> None:
    """The same parameters, curves, values and checkpoints, to the last bit."""
    both = zip(results(studio), results(whole), strict=False)
    assert [(found, expected) for found, expected in both if found != expected] == []


def test_two_jobs_train_all_trials_of_a_study_one_after_the_other(
    studio, cluster, undisturbed, launcher
):
    two_ranks(studio, n_trials=5)
    code, output = studio.run()
    assert code == 0, output
    assert studio.states() == ["COMPLETE"] * 5
    assert_like(studio, undisturbed)
    jobs = [path.name for path in (studio.folder.jobs / "ended").iterdir()]
    assert sorted(jobs) == ["0", "1"]
    assert_nothing_is_left(studio, cluster)
    studio.launcher = launcher
    code, output = studio.command("verify")
    assert code == 0, output


def test_the_ranks_of_a_trial_on_two_nodes_compute_what_they_do_on_one(
    studio, cluster, tmp_path, launcher
):
    studio.change(parallel={"kind": "ddp", "ranks": 4}, threads=1, n_trials=1)
    studio.change(launcher={"nodes": 2}, recipe={"step_seconds": 0.0})
    code, output = studio.run()
    assert code == 0, output
    one = Studio(
        tmp_path, name="one", preset=copy.deepcopy(studio.preset), environment=studio.environment
    )
    one.change(launcher={"nodes": 1})
    code, output = one.run()
    assert code == 0, output
    (tmp_path / "here").mkdir()
    here = Studio(tmp_path / "here", preset=copy.deepcopy(studio.preset), launcher=launcher)
    here.change(launcher={"kind": "local"})
    code, output = here.run()
    assert code == 0, output
    assert results(studio)[0].digests
    assert [r.curve for r in results(studio)] == [r.curve for r in results(here)]
    assert results(studio) == results(here) == results(one)
    assert load_plans(studio.trial(0))[0].nodes == 2
    assert_nothing_is_left(studio, cluster)


MEETS = """
import json, os, socket, sys, time
out, resume = sys.argv[1], len(sys.argv) > 2
rank, address = int(os.environ["RANK"]), (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
print(os.environ["GROUP_RANK"], os.environ["LOCAL_RANK"], os.environ.get("SLURM_PROCID"))
if rank == 0:
    other, _ = socket.create_server(address).accept()
else:
    time.sleep(0.5)
    other = socket.create_connection(address)
for epoch in range(4 if resume else 0, 8):
    other.sendall(b"x")
    assert other.recv(1) == b"x"
    time.sleep(0.3)
    if rank == 0:
        with open(out + "/metrics.jsonl", "a") as file:
            print(json.dumps({"epoch": epoch + 1, "error": 1 / (epoch + 1)}), file=file)
        open(out + "/last.ckpt", "w").close()
"""


def test_the_processes_of_a_script_meet_over_two_nodes_and_a_preemption_is_no_loss(studio, cluster):
    (studio.path / "train.py").write_text(MEETS)
    studio.change(
        family="script",
        script={
            "command": [sys.executable, "train.py", "{folder}", "{mode}"],
            "workdir": ".",
            "report": {"jsonl": "metrics.jsonl"},
            "resume": ["{folder}/last.ckpt"],
        },
        search={"mode": {"choices": [""]}},
        parallel={"kind": "ddp", "ranks": 2},
        launcher={"nodes": 2},
        n_trials=1,
    )
    del studio.preset["recipe"], studio.preset["search"]["learning_rate"]
    run = studio.start()
    studio.wait_for_event(0, "validated", 2, seconds=90)
    cluster.run("scancel", "--signal=USR2", job_of(studio))  # as before its time limit
    code, output = finish(run)
    assert code == 0, output
    assert [event.epoch for event in studio.events(0) if event.event == "validated"][-1] == 8
    assert attempts(studio) >= 2
    logs = [studio.trial(0).rank_log(rank).read_text() for rank in range(2)]
    assert ["0 0 None" in logs[0], "1 0 None" in logs[1]] == [True, True]
    assert_nothing_is_left(studio, cluster)


@pytest.mark.long
def test_the_stages_of_a_model_may_lie_on_two_nodes(studio, cluster, tmp_path):
    studio.change(
        family=f"{ROOT}/tests/families/pipelined_toy.py:PipelinedToy",
        parallel={"kind": "model", "stages": 2},
        recipe={"epochs": 2, "step_seconds": 0.0},
        launcher={"nodes": 2},
        threads=1,
        n_trials=1,
    )
    code, output = studio.run()
    assert code == 0, output
    (tmp_path / "here").mkdir()
    here = Studio(tmp_path / "here", preset=copy.deepcopy(studio.preset))
    here.change(launcher={"kind": "local"})
    code, output = here.run()
    assert code == 0, output
    assert results(studio)[0].digests
    assert results(studio) == results(here)
    assert_nothing_is_left(studio, cluster)


def test_jobs_go_on_without_their_orchestrator_and_the_next_takes_them_up(
    studio, cluster, undisturbed
):
    two_ranks(studio, n_trials=2)
    studio.change(recipe={"step_seconds": 0.4})
    run = studio.start()
    studio.wait_for_event(0, "validated")
    run.kill()
    run.communicate()
    told = len(studio.events(0))
    wait_until(lambda: len(studio.events(0)) > told, 60, "event without an orchestrator")
    code, output = studio.run()
    assert code == 0, output
    assert "trial 0 is taken up" in output
    assert [attempts(studio, trial) for trial in (0, 1)] == [1, 1]
    assert_like(studio, undisturbed)
    assert_nothing_is_left(studio, cluster)


def test_a_preempted_trial_saves_and_goes_on_in_another_job(studio, cluster, undisturbed):
    two_ranks(studio, n_trials=1, limits={"relaunches": 0})
    studio.change(recipe={"step_seconds": 0.4})
    run = studio.start()
    studio.wait_for_event(0, "validated")
    urgent = cluster.submit("sleep 5", "--partition=high", "--nodes=2", "--exclusive")
    cluster.wait_for_state(urgent, "RUNNING", "COMPLETED")
    code, output = finish(run)
    assert code == 0, output
    stopped = [event for event in studio.events(0) if isinstance(event, Stopped)]
    assert [event.reason for event in stopped] == ["displaced"]
    assert "had to make room" in output
    assert attempts(studio) == 2
    assert_like(studio, undisturbed)
    assert_nothing_is_left(studio, cluster)


@pytest.mark.long
def test_a_trial_goes_on_in_another_job_when_the_time_of_one_is_up(studio, cluster, undisturbed):
    two_ranks(studio, n_trials=1, limits={"relaunches": 0})
    studio.change(recipe={"step_seconds": 0.4})
    run = studio.start()
    studio.wait_for_event(0, "validated")
    cluster.run("scancel", "--signal=USR2", job_of(studio))  # as before a time limit
    code, output = finish(run)
    assert code == 0, output
    reasons = [event.reason for event in studio.events(0) if isinstance(event, Stopped)]
    assert reasons == ["expired"]
    assert attempts(studio) == 2
    assert_like(studio, undisturbed)
    assert_nothing_is_left(studio, cluster)


@pytest.mark.long
def test_a_job_that_comes_to_its_time_limit_costs_its_trial_nothing(studio, cluster, undisturbed):
    two_ranks(studio, n_trials=1, limits={"relaunches": 0})
    studio.change(recipe={"step_seconds": 6.0}, launcher={"signal_seconds": 30})
    run = studio.start()
    studio.wait_for_event(0, "started")
    cluster.end_in(job_of(studio), 35)  # Slurm looks at limits every 30 s
    code, output = finish(run)
    assert code == 0, output
    assert attempts(studio) == 2
    assert_like(studio, undisturbed)
    assert_nothing_is_left(studio, cluster)


def test_a_trial_whose_node_fails_goes_on_at_another(studio, cluster, undisturbed):
    two_ranks(studio, n_trials=1, limits={"relaunches": 0})
    studio.change(recipe={"step_seconds": 0.4})
    run = studio.start()
    studio.wait_for_event(0, "validated")
    node = cluster.job(job_of(studio))["NodeList"]
    cluster.set_node(node, "down")
    wait_until(lambda: attempts(studio) == 2, 60, "second attempt")
    studio.wait_for_event(0, "started", 2)
    assert cluster.job(job_of(studio))["NodeList"] != node
    code, output = finish(run)
    assert code == 0, output
    assert "NODE_FAIL" in output
    assert_like(studio, undisturbed)


def test_whoever_cancels_a_job_stops_its_trial_alone(studio, cluster):
    two_ranks(studio, n_trials=2)
    studio.change(recipe={"step_seconds": 0.4})
    run = studio.start()
    for trial in (0, 1):
        studio.wait_for_event(trial, "validated")
    cluster.run("scancel", job_of(studio, 0))
    code, output = finish(run)
    assert code == 0, output
    assert studio.states() == ["PRUNED", "COMPLETE"]
    outcome = load_outcome(studio.trial(0).outcome)
    assert outcome.ending is Ending.CANCELLED
    assert "scancel" in outcome.reason
    assert_nothing_is_left(studio, cluster)


@pytest.mark.long
def test_a_controller_that_is_away_is_waited_for(studio, cluster, undisturbed):
    two_ranks(studio, n_trials=2)
    studio.change(launcher={"jobs": 1}, recipe={"step_seconds": 1.5})
    run = studio.start()
    studio.wait_for_event(0, "started")
    cluster.kill_controller()
    time.sleep(25)
    cluster.start_controller()
    code, output = finish(run)
    assert code == 0, output
    assert "Slurm has not answered" in output
    assert "Slurm answers again" in output
    assert [attempts(studio, trial) for trial in (0, 1)] == [1, 1]
    assert_like(studio, undisturbed)
    assert_nothing_is_left(studio, cluster)


def test_what_sbatch_refuses_is_said_in_its_words_with_the_key(studio, cluster):
    studio.change(launcher={"partition": "nowhere"})
    code, output = studio.run()
    assert code == 1, output
    assert output.count("invalid partition specified") == 1
    assert "launcher.partition" in output
    assert "Traceback" not in output
    assert_nothing_is_left(studio, cluster)


def test_jobs_that_end_before_they_begin_end_the_run_with_their_last_words(studio, cluster):
    studio.change(launcher={"setup": ["echo no such module >&2", "exit 3"]})
    code, output = studio.run()
    assert code == 1, output
    assert "no such module" in output
    assert "Traceback" not in output
    assert_nothing_is_left(studio, cluster)


def test_one_ctrl_c_saves_and_waits_for_the_jobs_to_leave(studio, cluster, undisturbed):
    two_ranks(studio, n_trials=2)
    studio.change(recipe={"step_seconds": 0.4})
    run = studio.start()
    studio.wait_for_event(0, "progress")
    run.send_signal(signal.SIGINT)
    code, output = finish(run, 60)
    assert code == 130, output
    assert "to leave" in output
    assert isinstance(studio.last_word(0), Stopped)
    assert_nothing_is_left(studio, cluster)
    code, output = studio.run()
    assert code == 0, output
    starts = [event.resumed_step for event in studio.events(0) if isinstance(event, Started)]
    assert starts[1] > 0
    assert_like(studio, undisturbed)


@pytest.mark.long
def test_a_second_ctrl_c_ends_the_jobs(studio, cluster):
    studio.change(n_trials=2, recipe={"step_seconds": 60.0})
    run = studio.start()
    studio.wait_for_event(0, "started")
    run.send_signal(signal.SIGINT)
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    code, output = finish(run, 60)
    assert code == 130, output
    assert studio.states() == ["RUNNING", "RUNNING"]
    assert_nothing_is_left(studio, cluster)
