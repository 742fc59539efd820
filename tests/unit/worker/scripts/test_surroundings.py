"""A command finds in its environment what torchrun would set, and nothing of ours."""

import json
from pathlib import Path

import pytest

from protocol.folders import TrialFolder
from protocol.messages import Plan
from protocol.script import Reports, ScriptPlan
from worker.scripts import surroundings as module
from worker.scripts.surroundings import environment_of

ROOT = Path(__file__).resolve().parents[4]


def planned(*devices, launch="torchrun", **more):
    return Plan(
        study="x",
        trial=3,
        attempt=0,
        seed=0,
        family="script",
        recipe={"optimizer": "lion", "epochs": 7},
        data={},
        objective={"metric": "psnr", "direction": "maximize"},
        devices=list(devices),
        threads=2,
        script=ScriptPlan(command=["x"], workdir="/", folder="/f", launch=launch, report=Reports()),
        **more,
    )


@pytest.fixture
def trial(tmp_path):
    return TrialFolder(tmp_path)


def test_each_rank_knows_its_place_and_all_meet_at_one(trial):
    plan = planned("cpu", "cpu", "cpu")
    found = [environment_of(trial, plan, rank, {}) for rank in range(3)]
    assert [each["RANK"] for each in found] == ["0", "1", "2"]
    assert {each["WORLD_SIZE"] for each in found} == {"3"}
    assert {each["MASTER_ADDR"] for each in found} == {"127.0.0.1"}
    assert len({each["MASTER_PORT"] for each in found}) == 1
    assert {each["OMP_NUM_THREADS"] for each in found} == {"2"}
    assert {each["GLOO_SOCKET_IFNAME"] for each in found} == {"lo"}


def test_a_process_alone_has_all_threads_and_no_rank(trial):
    found = environment_of(trial, planned("cpu", "cpu", launch="plain"), 0, {})
    assert "RANK" not in found
    assert found["OMP_NUM_THREADS"] == "4"


def test_gpus_are_shown_by_the_names_that_they_have_outside(trial):
    given = {"CUDA_VISIBLE_DEVICES": "4,GPU-5f,6"}
    found = environment_of(trial, planned("cuda:1", "cuda:2"), 0, given)
    assert found["CUDA_VISIBLE_DEVICES"] == "GPU-5f,6"
    assert environment_of(trial, planned("cuda:0"), 0, {})["CUDA_VISIBLE_DEVICES"] == "0"
    assert environment_of(trial, planned("cpu"), 0, given)["CUDA_VISIBLE_DEVICES"] == ""


def test_on_several_nodes_ranks_count_within_theirs(trial, monkeypatch):
    monkeypatch.setattr(module, "own_addresses", lambda interface: ["10.0.0.4", "10.1.0.4"])
    plan = planned("cuda:0", "cuda:1", "cuda:0", "cuda:1", nodes=2)
    first, *_, last = [environment_of(trial, plan, rank, {}) for rank in range(4)]
    assert (first["MASTER_ADDR"], last["MASTER_ADDR"]) == ("10.0.0.4", "10.0.0.4")
    assert (last["RANK"], last["LOCAL_RANK"], last["GROUP_RANK"]) == ("3", "1", "1")
    assert last["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "GLOO_SOCKET_IFNAME" not in last


def test_what_is_ours_is_not_the_scripts(trial):
    given = {
        "PYTHONPATH": f"{ROOT}:/theirs",
        "OPENBLAS_NUM_THREADS": "1",
        "SLURM_PROCID": "1",
        "SLURM_NTASKS": "2",
        "SLURM_JOB_ID": "7",
        "HOME": "/home/me",
    }
    found = environment_of(trial, planned("cpu"), 0, given)
    assert found["PYTHONPATH"] == f"{ROOT}/integrations:/theirs"
    assert found.keys() & {"OPENBLAS_NUM_THREADS", "SLURM_PROCID", "SLURM_NTASKS"} == set()
    assert (found["SLURM_JOB_ID"], found["HOME"]) == ("7", "/home/me")
    assert found["TOMOSTUDY_STOP"] == str(trial.stop)


def test_keys_of_a_script_are_not_taken_for_those_of_our_training(trial):
    plan = planned("cpu")
    assert plan.recipe.given["optimizer"] == "lion"
    assert plan.recipe.epochs == 7
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert json.loads(plan.model_dump_json())["recipe"]["optimizer"] == "lion"
