"""A hold on a study across hosts: the other host is this one under another name."""

import json
import os
import socket
import time

import pytest

from orchestrator.launcher.slurm.ask import Away, Refused
from orchestrator.study.holding import claim as module
from orchestrator.study.holding.claim import Claim, dead_elsewhere, this_process
from protocol.errors import StudyInUse


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.4)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.02)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "holder"


@pytest.fixture
def said():
    return []


@pytest.fixture
def claims(path, said):
    def made(host, pid=1, **more):
        record = {"host": host, "pid": pid, **more}
        return Claim(path, record, lambda other: StudyInUse(f"by {other.get('host')}"), said.append)

    return made


def leave_dead(path, **record):
    path.write_text(json.dumps({"host": "far", "pid": 7, "beat": 3, "time": 1.0, **record}) + "\n")


def slurm_says(monkeypatch, answer):
    def ask(*command):
        if isinstance(answer, Exception):
            raise answer
        return f"JobId=5 JobState={answer} Reason=None\n"

    monkeypatch.setattr(module, "ask", ask)


def test_a_claim_is_there_while_it_is_held_and_gives_signs_of_life(path, claims):
    with claims("near") as claim:
        first = json.loads(path.read_text())
        assert claim.holds
        time.sleep(0.3)
        assert json.loads(path.read_text())["beat"] > first["beat"]
    assert list(path.parent.iterdir()) == []


def test_a_second_host_is_refused_by_the_name_of_the_first(claims, path, said):
    with claims("near") as first:
        with pytest.raises(StudyInUse, match="by near"), claims("far"):
            pass
        assert first.holds
    assert "watching for a sign of life" in said[0]
    assert list(path.parent.iterdir()) == []


def test_hosts_whose_processes_have_one_number_are_not_mixed_up(path, claims, monkeypatch):
    """As in containers: what one writes before it claims is not the other's."""
    drafts = []
    link = module.link_once
    monkeypatch.setattr(module, "link_once", lambda a, b: drafts.append(a.name) or link(a, b))
    with claims("near", pid=1):
        pass
    with claims("far", pid=1):
        pass
    assert len(set(drafts)) == 2


def test_a_dead_host_is_taken_over_once_it_gave_no_sign_for_long_enough(path, claims, said):
    leave_dead(path)
    began = time.monotonic()
    with claims("near") as claim:
        assert claim.holds
    assert time.monotonic() - began >= 0.4
    assert "process 7 on far is taken for dead: no sign of life for 0.4 s" in said[1]


def test_an_earlier_process_of_this_host_is_dead_as_the_lock_is_ours(path, claims, said):
    leave_dead(path, host="near")
    with claims("near"):
        pass
    assert said == []


@pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED", "COMPLETING"])
def test_a_holder_whose_job_runs_lives_whatever_he_writes(path, claims, monkeypatch, state):
    leave_dead(path, job="5")
    slurm_says(monkeypatch, state)
    with pytest.raises(StudyInUse), claims("near"):
        pass


@pytest.mark.parametrize("state", ["NODE_FAIL", "CANCELLED", "PENDING"])
def test_a_holder_whose_job_runs_no_more_is_dead_at_once(path, claims, monkeypatch, said, state):
    leave_dead(path, job="5")
    slurm_says(monkeypatch, state)
    with claims("near") as claim:
        assert claim.holds
    assert f"is gone: Slurm says {state} of job 5" in said[0]


def test_a_job_that_slurm_has_forgotten_is_gone(path, claims, monkeypatch, said):
    leave_dead(path, job="5")
    slurm_says(monkeypatch, Refused("slurm_load_jobs error: Invalid job id specified"))
    with claims("near"):
        pass
    assert "Slurm says GONE" in said[0]


@pytest.mark.parametrize("error", [Away("away"), Refused("there is no scontrol here")])
def test_where_slurm_cannot_be_asked_a_sign_of_life_is_watched_for(
    path, claims, monkeypatch, said, error
):
    leave_dead(path, job="5")
    slurm_says(monkeypatch, error)
    with claims("near"):
        pass
    assert "watching for a sign of life" in said[0]


def test_a_job_that_slurm_has_queued_again_takes_its_own_study_up(path, claims, monkeypatch, said):
    leave_dead(path, job="5")
    slurm_says(monkeypatch, "RUNNING")  # on another node by now
    with claims("near", job="5") as claim:
        assert claim.holds
    assert said == []


def test_whoever_was_faster_in_taking_a_dead_hosts_place_keeps_it(path, claims, monkeypatch):
    leave_dead(path, job="5")
    other = claims("third")

    def ask(*command):
        monkeypatch.setattr(module, "ask", lambda *command: "JobState=NODE_FAIL")
        other.__enter__()  # while Slurm was slow to answer the second
        return "JobState=NODE_FAIL"

    monkeypatch.setattr(module, "ask", ask)
    with pytest.raises(StudyInUse, match="by third"), claims("near"):
        pass
    assert other.holds
    other.__exit__()


def test_a_holder_that_was_taken_over_knows_it(path, claims):
    with claims("near") as claim:
        path.unlink()
        leave_dead(path)
        assert not claim.holds
    assert path.exists(), "what is another's stays"


def test_who_tidies_the_folder_meanwhile_has_the_study(path, claims, monkeypatch):
    link = module.link_once

    def tidied(draft, target):
        draft.unlink()
        leave_dead(path)
        return link(draft, target)

    monkeypatch.setattr(module, "link_once", tidied)
    with pytest.raises(StudyInUse, match="by far"), claims("near"):
        pass


def test_a_disk_that_is_away_for_a_moment_ends_no_signs_of_life(path, claims, monkeypatch):
    with claims("near"):
        monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("away")))
        time.sleep(0.15)
        monkeypatch.undo()
        before = json.loads(path.read_text())["beat"]
        deadline = time.monotonic() + 5
        while json.loads(path.read_text())["beat"] == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_commands_find_out_whether_a_holder_elsewhere_is_dead(path, claims, monkeypatch, said):
    assert not dead_elsewhere(path, said.append)
    leave_dead(path, host=socket.gethostname())
    assert not dead_elsewhere(path, said.append), "of this host its lock tells"
    leave_dead(path)
    assert dead_elsewhere(path, said.append)
    path.unlink()
    with claims("far"):
        assert not dead_elsewhere(path, said.append)


def test_only_a_process_that_slurm_started_is_its_jobs(monkeypatch):
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert "job" not in this_process(), "a shell of salloc outlives its job"
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    assert this_process()["job"] == "5"
