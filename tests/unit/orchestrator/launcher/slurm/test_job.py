import pytest

from orchestrator.launcher.base import Cause, Exit
from orchestrator.launcher.slurm import job as module
from orchestrator.launcher.slurm.job import Job, node_names
from orchestrator.launcher.slurm.squeue import JobState
from protocol.folders import JobFolder, TrialFolder
from protocol.letters import post

TOLD = {"name": "x.0", "nodes": 1, "shape": {"family": "toy"}, "reuse": True}
WELL = {"codes": {"0": 0}, "first": None, "hung": None, "vanished": False, "word": ""}
WELL |= {"left": None, "memory": False}


@pytest.fixture
def folder(tmp_path):
    folder = JobFolder(tmp_path / "jobs" / "4")
    folder.path.mkdir(parents=True)
    return folder


def job_of(folder, nodes=1, **more) -> Job:
    post(folder.job, TOLD | {"nodes": nodes} | more)
    job = Job.found(folder)
    assert job is not None
    job.id = "42"
    for node in range(nodes):
        post(folder.began(node), {"host": "n1", "pid": 7})
    job.look()
    return job


def given(job, tmp_path, trial=3, attempt=0) -> int:
    order = job.give(TrialFolder(tmp_path / f"trial_{trial}"), attempt)
    assert order is not None
    return order


def seen(job, state, **more) -> None:
    job.state = JobState(id="42", name="x.0", state=state, **more)
    job.look()


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("", []),
        ("n1", ["n1"]),
        ("gpu-07", ["gpu-07"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("gpu-node[08-10,12],m3", ["gpu-node08", "gpu-node09", "gpu-node10", "gpu-node12", "m3"]),
        ("a[1-2]-ib", ["a1-ib", "a2-ib"]),
        ("r[1-2]n[3-4]", ["r[1-2]n[3-4]"]),
        ("bg[0a-0f]", ["bg[0a-0f]"]),
    ],
)
def test_names_of_nodes_are_read_as_slurm_writes_them(nodes, names):
    assert node_names(nodes) == names


def test_a_job_has_begun_once_all_its_nodes_have(folder):
    post(folder.job, TOLD | {"nodes": 2})
    job = Job.found(folder)
    post(folder.began(1), {"host": "n2"})
    job.look()
    assert job.waits
    post(folder.began(0), {"host": "n1"})
    job.look()
    assert job.idle


def test_a_job_takes_one_trial_after_the_other(folder, tmp_path):
    job = job_of(folder)
    assert given(job, tmp_path) == 0
    assert not job.idle
    assert job.exit(0) is None
    post(folder.exit(0, 0), WELL)
    assert job.exit(0) == Exit(codes={0: 0})
    assert job.idle
    assert given(job, tmp_path) == 1


def test_a_job_that_leaves_at_this_moment_gets_no_order(folder, tmp_path):
    job = job_of(folder)
    post(folder.order(0), {"closed": "idle"})
    assert job.give(TrialFolder(tmp_path / "trial_3"), 0) is None
    assert not job.idle


def test_a_job_without_reuse_takes_one_trial_alone(folder, tmp_path):
    job = job_of(folder, reuse=False)
    given(job, tmp_path)
    post(folder.exit(0, 0), WELL)
    assert not job.idle
    assert not Job.found(folder).idle


def test_all_is_found_again_that_an_earlier_orchestrator_knew(folder, tmp_path):
    assert Job.found(folder) is None
    job = job_of(folder)
    given(job, tmp_path, trial=3, attempt=1)
    folder.id.write_text("42\n")
    again = Job.found(folder)
    assert (again.name, again.id, again.orders, again.closed) == ("x.0", "42", 1, False)
    assert again.gave(0, TrialFolder(tmp_path / "elsewhere" / "trial_3"), 1)
    assert not again.gave(0, TrialFolder(tmp_path / "trial_4"), 1)
    assert not again.gave(0, TrialFolder(tmp_path / "trial_3"), 2)
    assert not again.gave(1, TrialFolder(tmp_path / "trial_3"), 1)
    again.close()
    assert Job.found(folder).closed


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("TIMEOUT", Cause.MOVED),
        ("PREEMPTED", Cause.MOVED),
        ("NODE_FAIL", Cause.MOVED),
        ("GONE", Cause.MOVED),
        ("OUT_OF_MEMORY", Cause.MEMORY),
        ("CANCELLED", Cause.CANCELLED),
    ],
)
def test_what_ended_a_job_ended_its_trial(folder, tmp_path, state, cause):
    job = job_of(folder)
    given(job, tmp_path)
    seen(job, state, nodes="n1", reason="why")
    exit = job.exit(0)
    assert (exit.vanished, exit.cause) == (True, cause)
    assert exit.word.startswith("job 42 on n1 ")


def test_a_job_that_went_without_a_word_is_waited_for_a_while(folder, tmp_path, monkeypatch):
    job = job_of(folder)
    given(job, tmp_path)
    seen(job, "FAILED")
    assert job.exit(0) is None
    monkeypatch.setattr(module, "_LATE_SECONDS", 0.0)
    assert job.exit(0) == Exit(vanished=True, word="job 42 ended as FAILED")


def test_slurms_own_word_on_memory_is_found_in_what_the_job_printed(folder, tmp_path):
    job = job_of(folder)
    given(job, tmp_path)
    said = "slurmstepd: error: Step 42.0 exceeded memory limit (600 > 100), being killed\n"
    (folder.path / "42_0_log.out").write_text(said)
    seen(job, "FAILED")
    assert job.exit(0).cause is Cause.MEMORY


def test_a_preemption_and_a_persons_scancel_are_told_apart_by_slurm_alone(folder, tmp_path):
    job = job_of(folder)
    given(job, tmp_path)
    post(folder.exit(0, 0), WELL | {"left": "displaced"})
    seen(job, "COMPLETING")
    assert job.exit(0) is None
    seen(job, "CANCELLED")
    assert job.exit(0).cause is Cause.CANCELLED
    seen(job, "PREEMPTED")
    assert job.exit(0).cause is Cause.MOVED


def test_a_job_whose_time_is_up_need_not_be_waited_for(folder, tmp_path):
    job = job_of(folder)
    given(job, tmp_path)
    seen(job, "RUNNING")
    post(folder.exit(0, 0), WELL | {"left": "expired"})
    assert job.exit(0).cause is Cause.MOVED
    assert job.exit(0).word == "the time of job 42 is nearly up"


def test_an_order_that_ended_before_its_job_did_keeps_its_own_end(folder, tmp_path):
    job = job_of(folder)
    given(job, tmp_path)
    post(folder.exit(0, 0), WELL)
    seen(job, "CANCELLED")
    assert job.exit(0) == Exit(codes={0: 0})


@pytest.mark.parametrize("how", ["killed", "not needed"])
def test_what_an_earlier_orchestrator_cancelled_was_no_persons_doing(folder, tmp_path, how):
    job = job_of(folder)
    given(job, tmp_path)
    if how == "killed":
        job.kill(0)
    else:
        job.close()
    again = Job.found(folder)
    again.id = "42"
    seen(again, "CANCELLED")
    assert again.ended_by_us
    assert again._cause(again.state) is None


def test_nodes_tell_together_which_rank_went_first(folder, tmp_path):
    job = job_of(folder, nodes=2)
    given(job, tmp_path)
    post(folder.exit(0, 0), WELL | {"codes": {"0": 1, "1": 0}, "first": 0, "word": "peer lost"})
    assert job.exit(0) is None
    post(folder.exit(0, 1), WELL | {"codes": {"2": 0, "3": -9}, "first": 3, "memory": True})
    exit = job.exit(0)
    assert exit.codes == {0: 1, 1: 0, 2: 0, 3: -9}
    assert exit.first == 3
    assert exit.cause is Cause.MEMORY


def test_where_a_job_is_is_said_for_people(folder):
    post(folder.job, TOLD)
    job = Job.found(folder)
    assert job.place == "job (being submitted)"
    job.id = "42"
    seen(job, "PENDING", reason="Resources", left=60.0)
    assert job.place == "job 42 waits: Resources"
    job.began = True  # which squeue does not show yet
    assert job.place == "job 42 begins"
    seen(job, "RUNNING", nodes="n[1-2]", left=90.0)
    assert job.place.startswith("job 42 on n[1-2], ")
    assert job.place.endswith(" left")
    seen(job, "RUNNING", nodes="n1", left=None)
    assert job.place == "job 42 on n1"


def test_only_a_failed_node_is_at_fault(folder):
    job = job_of(folder)
    seen(job, "TIMEOUT", nodes="n[1-2]")
    assert list(job.nodes_at_fault()) == []
    seen(job, "NODE_FAIL", nodes="n[1-2]")
    assert list(job.nodes_at_fault()) == ["n1", "n2"]
