import json
import time

import pytest

from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm import detached as module
from orchestrator.launcher.slurm.ask import Away, Refused
from orchestrator.launcher.slurm.detached import (
    detached,
    is_detached,
    submit_orchestrator,
    submit_successor,
)
from protocol.errors import SettingsError, UserError


@pytest.fixture
def slurm(monkeypatch):
    """What sbatch and scontrol answer, and what they were asked."""
    answers = {"sbatch": ["42\n"], "scontrol": "", "asked": []}

    def ask(*command):
        answers["asked"].append(command)
        answer = answers[command[0]]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    return answers


def begun(jobs, **orchestrator) -> list[str]:
    launcher = LauncherSettings(kind="slurm", account="ct", orchestrator=orchestrator)
    submit_orchestrator(jobs, "x.orchestrator", launcher, ["run", "--study_name", "a b"])
    return (jobs / "orchestrator.sh").read_text().splitlines()


def test_the_job_runs_the_same_command_and_knows_that_it_is_one(slurm, tmp_path):
    script = begun(tmp_path / "jobs", time=60, partition="long", options={"mail_type": "END"})
    for line in ("time=60", "partition=long", "account=ct", "mem=4096M", "requeue", "nodes=1"):
        assert f"#SBATCH --{line}" in script
    assert "#SBATCH --signal=B:USR2@120" in script, "to the program, which is the script itself"
    (command,) = [line for line in script if line.startswith("exec ")]
    assert command.startswith("exec env TOMOSTUDY_DETACHED=1 env PYTHONPATH=")
    assert command.endswith("-m orchestrator run --study_name 'a b'")
    assert json.loads((tmp_path / "jobs" / "orchestrator.json").read_text()) == {"id": "42"}


def test_what_sbatch_refuses_is_a_matter_of_the_orchestrators_settings(slurm, tmp_path):
    slurm["sbatch"] = [Refused("sbatch: error: invalid partition specified: nowhere")]
    with pytest.raises(SettingsError, match=r"launcher\.orchestrator: .*invalid partition"):
        begun(tmp_path, partition="nowhere")


def test_the_successor_waits_for_this_job_to_end(slurm, tmp_path):
    slurm["sbatch"] = ["43;alpine\n"]
    assert submit_successor(tmp_path) == "43"
    script = str(tmp_path / "orchestrator.sh")
    assert slurm["asked"] == [("sbatch", "--parsable", "--dependency=afterany:41", script)]


def test_a_successor_is_asked_for_until_slurm_answers(slurm, tmp_path):
    slurm["sbatch"] = [Away("away"), Away("away"), "43\n"]
    assert submit_successor(tmp_path) == "43"


def test_without_an_answer_people_are_told_to_go_on_themselves(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SUCCESSOR_SECONDS", -1.0)
    slurm["sbatch"] = [Away("away")]
    with pytest.raises(UserError, match=r"\(away\); type the same command again"):
        submit_successor(tmp_path)


def test_where_the_orchestrator_is_is_asked_of_slurm(slurm, tmp_path):
    assert detached(tmp_path) is None
    (tmp_path / "orchestrator.json").write_text('{"id": "42"}')
    slurm["scontrol"] = "JobId=42 JobState=PENDING Reason=Priority NodeList=(null)\n"
    job = detached(tmp_path)
    assert job.lives
    assert job.told == "job 42, PENDING (Priority)"
    slurm["scontrol"] = "JobId=42 JobState=RUNNING Reason=None NodeList=n1\n"
    assert detached(tmp_path).told == "job 42, RUNNING on n1"
    slurm["scontrol"] = "JobId=42 JobState=COMPLETED Reason=None NodeList=n1\n"
    assert not detached(tmp_path).lives
    slurm["scontrol"] = Refused("Invalid job id specified")
    assert detached(tmp_path).state == "GONE"
    slurm["scontrol"] = Away("away")
    with pytest.raises(Away):
        detached(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_damaged_record_is_none(slurm, tmp_path, content):
    (tmp_path / "orchestrator.json").write_text(content)
    assert detached(tmp_path) is None


def test_a_detached_process_is_one_in_a_job(slurm, monkeypatch):
    monkeypatch.delenv("TOMOSTUDY_DETACHED", raising=False)
    assert not is_detached()
    monkeypatch.setenv("TOMOSTUDY_DETACHED", "1")
    assert is_detached()
