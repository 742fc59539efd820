import json
import types

import pytest
from rich.console import Console

from orchestrator.commands import detach as module
from orchestrator.commands.detach import detach_study
from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm import detached
from orchestrator.launcher.slurm.ask import Away
from orchestrator.study.holding import claim
from orchestrator.study.holding.lock import StudyLock
from protocol.errors import SettingsError, StudyInUse, UserError
from protocol.folders import StudyFolder


@pytest.fixture
def slurm(monkeypatch):
    """What sbatch and scontrol answer."""
    answers = {"sbatch": "42\n", "scontrol": "JobState=COMPLETED"}

    def ask(program, *arguments):
        if isinstance(answers[program], Exception):
            raise answers[program]
        return answers[program]

    for place in (detached, claim):
        monkeypatch.setattr(place, "ask", ask)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(claim, "SILENT_SECONDS", 0.2)
    return answers


@pytest.fixture
def detach(tmp_path, monkeypatch, capsys):
    def detaches(kind="slurm"):
        settings = types.SimpleNamespace(launcher=LauncherSettings(kind=kind))
        monkeypatch.setattr(module, "read_study_file", lambda folder: None)
        monkeypatch.setattr(module, "load_settings", lambda asked: (settings, None))
        monkeypatch.setattr(module, "check_at_once", lambda settings, layers: None)
        code = detach_study("x", tmp_path, None, ["run", "--study_name", "x"], Console())
        return code, " ".join(capsys.readouterr().out.split())

    return detaches


@pytest.fixture
def study(tmp_path):
    return StudyFolder(tmp_path / "x")


def test_a_job_is_submitted_that_runs_the_same_command(slurm, detach, study):
    code, output = detach()
    assert code == 0
    assert "Study x is searched by job 42" in output
    assert "42_0_log.out" in output
    assert json.loads((study.jobs / "orchestrator.json").read_text()) == {"id": "42"}
    script = (study.jobs / "orchestrator.sh").read_text()
    assert "-m orchestrator run --study_name x" in script
    assert "#SBATCH --job-name=x." in script


def test_only_a_study_on_a_cluster_can_be_detached(slurm, detach):
    with pytest.raises(SettingsError, match=r"expected launcher\.kind: slurm"):
        detach("local")


def test_a_second_orchestrator_in_the_queue_is_refused(slurm, detach):
    detach()
    slurm["scontrol"] = "JobState=PENDING Reason=Priority NodeList=(null)"
    with pytest.raises(StudyInUse, match=r"orchestrator in job 42, PENDING \(Priority\)"):
        detach()


def test_a_search_in_a_shell_is_not_joined_by_one_in_a_job(slurm, detach, study):
    study.path.mkdir()
    study.settings.write_text("")
    with (
        StudyLock(study.lock),
        pytest.raises(StudyInUse, match="study 'x' is in use by process"),
    ):
        detach()


def test_a_search_that_died_on_another_host_does_not_stand_in_the_way(
    slurm, detach, study, monkeypatch
):
    study.path.mkdir()
    study.settings.write_text("")
    study.lock.write_text('{"pid": 7, "host": "far", "start": 1.0}\n')
    holder = {"pid": 7, "host": "far", "job": "41", "beat": 1, "time": 1.0}
    study.lock.with_name("holder").write_text(json.dumps(holder) + "\n")
    slurm["scontrol"] = "JobState=NODE_FAIL"
    code, output = detach()
    assert code == 0
    assert "Slurm says NODE_FAIL of job 41" in output


def test_a_controller_that_is_away_is_a_sentence(slurm, detach):
    slurm["sbatch"] = Away("Unable to contact slurm controller")
    with pytest.raises(UserError, match="Slurm does not answer, try again in a while"):
        detach()
