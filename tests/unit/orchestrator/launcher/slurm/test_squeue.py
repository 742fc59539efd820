import pytest

from orchestrator.launcher.slurm import squeue as module
from orchestrator.launcher.slurm.ask import Away, Refused
from orchestrator.launcher.slurm.squeue import JobState, QueueWatcher

LISTED = """\
11|RUNNING|None|gpu-n[01-02]|1-02:03:04|study.12ab.0
12|PENDING|Resources||4:00:00|study.12ab.1
13_[1-9]|PENDING|Priority||30:00|of | somebody|else
14|RUNNING|None|n1|UNLIMITED|study.12ab.2
15|CONFIGURING|ReqNodeNotAvail, UnavailableNodes:n[1-2]||INVALID|study.12ab.3
what squeue never prints
"""
SHOWN = "JobId=21 JobName=study.12ab.9 JobState={state} Reason={reason} NodeList={nodes} X"


@pytest.fixture
def slurm(monkeypatch):
    """What squeue and scontrol answer; an exception is raised."""
    answers = {"squeue": LISTED, "scontrol": Refused("Invalid job id specified")}

    def ask(*command):
        answer = answers[command[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(module, "ask", ask)
    return answers


def test_states_reasons_nodes_and_time_left_are_read(slurm):
    watcher = QueueWatcher()
    watcher.update()
    assert watcher.states["11"] == JobState(
        id="11",
        name="study.12ab.0",
        state="RUNNING",
        nodes="gpu-n[01-02]",
        left=86400 + 2 * 3600 + 3 * 60 + 4,
    )
    assert watcher.states["12"].waits
    assert watcher.states["12"].reason == "Resources"
    assert watcher.states["14"].left is None
    assert watcher.states["15"].left is None
    assert watcher.states["15"].reason.startswith("ReqNodeNotAvail, ")
    assert watcher.states["13_[1-9]"].name == "of | somebody|else"
    assert len(watcher.states) == 5


def test_what_was_known_stays_while_slurm_does_not_answer(slurm):
    watcher = QueueWatcher()
    watcher.update()
    slurm["squeue"] = Away("Unable to contact")
    watcher.update()
    assert watcher.trouble == "Unable to contact"
    assert watcher.get_state("11") == "RUNNING"
    slurm["squeue"] = LISTED
    watcher.update()
    assert watcher.trouble == ""


def test_a_job_that_squeue_has_forgotten_is_asked_of_scontrol(slurm):
    watcher = QueueWatcher()
    watcher.register_job("21")
    slurm["scontrol"] = SHOWN.format(state="NODE_FAIL", reason="None", nodes="n1")
    watcher.update()
    assert (watcher.states["21"].state, watcher.states["21"].nodes) == ("NODE_FAIL", "n1")
    slurm["scontrol"] = Refused("Invalid job id specified")
    watcher.update()
    assert watcher.states["21"].state == "NODE_FAIL", "of a job that is over the last word is kept"


def test_no_nodes_are_none(slurm):
    watcher = QueueWatcher()
    watcher.register_job("21")
    slurm["scontrol"] = SHOWN.format(state="BOOT_FAIL", reason="None", nodes="(null)")
    watcher.update()
    assert watcher.states["21"].nodes == ""


def test_a_job_is_gone_once_nobody_knew_it_for_three_looks(slurm):
    watcher = QueueWatcher()
    watcher.register_job("21")
    for _ in range(2):
        watcher.update()
        assert watcher.get_state("21") == "UNKNOWN"
    watcher.update()
    assert watcher.states["21"].state == "GONE"
    assert watcher.states["21"].over


def test_a_controller_that_goes_in_the_middle_of_a_look_makes_no_job_gone(slurm):
    watcher = QueueWatcher()
    watcher.register_job("21")
    slurm["scontrol"] = Away("Unable to contact")
    for _ in range(5):
        watcher.update()
    assert "21" not in watcher.states
    assert watcher.trouble
