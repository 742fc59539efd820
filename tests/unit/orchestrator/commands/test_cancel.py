import json
import socket
import threading
import time

import pytest
from rich.console import Console

from orchestrator.commands import cancel as module
from orchestrator.commands.cancel import cancel_study
from orchestrator.launcher.slurm import detached
from orchestrator.launcher.slurm.ask import Away, Refused
from orchestrator.study.holding import claim
from orchestrator.study.holding.lock import StudyLock
from protocol.errors import UserError
from protocol.folders import JobFolder, StudyFolder


class Slurm:
    """Jobs by number; scancel takes two looks to end them."""

    def __init__(self):
        self.jobs = {}
        self.names = {}
        self.cancelled = []
        self.away = False

    def ask(self, program, *arguments):
        if self.away:
            raise Away("Unable to contact slurm controller")
        if program == "scancel":
            self.cancelled += [number for number in arguments if number.isdigit()]
            return ""
        if program == "scontrol":
            return f"JobState={'RUNNING' if self.jobs.get(arguments[-1]) else 'COMPLETED'}"
        last = arguments[-1]
        if last.startswith("--name="):
            return self.names.get(last.removeprefix("--name="), "")
        number = last.removeprefix("--jobs=")
        if number not in self.jobs:
            raise Refused("Invalid job id specified")
        if number in self.cancelled:
            self.jobs[number] -= 1
        return "RUNNING\n" if self.jobs[number] > 0 else ""


@pytest.fixture
def slurm(monkeypatch):
    slurm = Slurm()
    for place in (module, detached, claim):
        monkeypatch.setattr(place, "ask", slurm.ask)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(claim, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(claim, "_LOOK_SECONDS", 0.02)
    return slurm


@pytest.fixture
def study(tmp_path):
    folder = StudyFolder(tmp_path / "x")
    folder.jobs.mkdir(parents=True)
    return folder


@pytest.fixture
def cancel(tmp_path, capsys):
    def cancels():
        code = cancel_study("x", tmp_path, Console())
        return code, capsys.readouterr().out

    return cancels


def job(study, number, id=None):
    folder = JobFolder(study.jobs / str(number))
    folder.path.mkdir()
    folder.job.write_text(json.dumps({"name": f"x.{number}"}) + "\n")
    if id is not None:
        folder.id.write_text(f"{id}\n")


def held_elsewhere(study):
    record = {"pid": 7, "host": "far", "start": 1.0}
    study.lock.write_text(json.dumps(record) + "\n")
    claimed = {"pid": 7, "host": "far", "beat": 3, "time": 1.0}
    study.lock.with_name("holder").write_text(json.dumps(claimed) + "\n")


def test_jobs_without_a_search_are_ended_and_put_away(study, slurm, cancel):
    slurm.jobs = {"5": 2, "6": 0}
    for number, id in ((0, 5), (1, 6), (2, 7)):  # one lives, one has ended, one is forgotten
        job(study, number, id)
    code, output = cancel()
    assert code == 0
    assert "Study x is stopped, and 1 job ended" in output
    assert slurm.cancelled == ["5"]
    assert sorted(path.name for path in study.jobs.iterdir()) == ["ended"]
    assert slurm.jobs["5"] == 0, "it was waited for"


def test_a_job_whose_number_nobody_wrote_down_is_found_by_its_name(study, slurm, cancel):
    job(study, 0)
    slurm.names, slurm.jobs = {"x.0": "8\n"}, {"8": 1}
    assert "1 job ended" in cancel()[1]
    assert slurm.cancelled == ["8"]


def test_the_orchestrators_own_job_is_ended_too(study, slurm, cancel):
    (study.jobs / "orchestrator.json").write_text('{"id": "9"}')
    slurm.jobs = {"9": 2}
    cancel()
    assert slurm.cancelled == ["9"]


def test_a_search_that_lives_is_asked_to_stop_at_once(study, slurm, cancel):
    ready, seen = threading.Event(), []

    def search():
        with StudyLock(study.lock):
            ready.set()
            while not study.stop.exists():
                time.sleep(0.01)
            seen.append(study.stop.read_text())

    thread = threading.Thread(target=search)
    thread.start()
    assert ready.wait(10)
    code, output = cancel()
    thread.join()
    assert code == 0
    assert seen == ["now"]
    assert f"on {socket.gethostname()} to stop at once" in output
    assert not study.stop.exists()


def test_a_search_that_died_on_another_host_is_not_waited_for(study, slurm, cancel):
    held_elsewhere(study)
    slurm.jobs = {"5": 1}
    job(study, 0, 5)
    began = time.monotonic()
    code, output = cancel()
    assert code == 0
    assert time.monotonic() - began < 5
    assert "process 7 on far is taken for dead" in " ".join(output.split())
    assert slurm.cancelled == ["5"]


def test_a_search_that_does_not_stop_leaves_no_request_for_the_next(
    study, slurm, cancel, monkeypatch
):
    monkeypatch.setattr(module, "_GONE_SECONDS", 0.1)
    with StudyLock(study.lock), pytest.raises(UserError, match="did not end within"):
        cancel()
    assert not study.stop.exists()


def test_a_controller_that_is_away_is_a_sentence(study, slurm, cancel):
    job(study, 0, 5)
    slurm.away = True
    with pytest.raises(UserError, match="Slurm does not answer, try again in a while"):
        cancel()
    assert (study.jobs / "0").is_dir(), "its job is still to be ended"


def test_a_study_that_there_is_not_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no study 'y'"):
        cancel_study("y", tmp_path, Console())
