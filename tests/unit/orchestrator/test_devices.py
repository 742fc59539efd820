"""Cutting devices into slots."""

from __future__ import annotations

import pytest

from orchestrator.devices import cpu_cores, cut_slots
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings

GPUS = [{"index": index, "name": "GPU"} for index in range(4)]


def settings(**changed):
    return Settings.model_validate(
        {
            "preset": "p",
            "family": "f",
            "objective": {"metric": "m", "direction": "minimize"},
            "data": {},
            **changed,
        }
    )


def test_every_gpu_is_used_once_and_the_cores_are_shared_out():
    slots = cut_slots(settings(parallel={"ranks": 2}), GPUS, cores=16)
    assert [slot.devices for slot in slots] == [("cuda:0", "cuda:1"), ("cuda:2", "cuda:3")]
    assert {slot.threads for slot in slots} == {4}


def test_named_gpus_are_the_only_ones_used():
    slots = cut_slots(settings(devices=["cuda:3", "cuda:1"]), GPUS, cores=4)
    assert [slot.devices for slot in slots] == [("cuda:3",), ("cuda:1",)]


@pytest.mark.parametrize(("trials", "ranks"), [(1, 1), (1, 2), (2, 2), (3, 4), (8, 8)])
def test_ranks_on_a_cpu_never_oversubscribe_its_cores(trials, ranks):
    slots = cut_slots(
        settings(parallel={"ranks": ranks}, parallel_trials=trials, devices="cpu"), GPUS, cores=16
    )
    assert len(slots) == trials
    assert all(slot.devices == ("cpu",) * ranks for slot in slots)
    threads = sum(slot.threads * len(slot.devices) for slot in slots)
    assert threads <= max(16, trials * ranks)


def test_a_small_machine_without_gpus_runs_one_trial_at_a_time():
    assert len(cut_slots(settings(), [], cores=2)) == 1
    assert len(cut_slots(settings(), [], cores=32)) == 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"devices": ["cuda:7"]}, ["cuda:7", "cuda:0", "cpu"]),
        ({"parallel": {"ranks": 5}}, ["parallel.ranks", "5", "4 GPUs"]),
        ({"parallel": {"ranks": 2}, "parallel_trials": 3}, ["parallel_trials", "6 GPUs"]),
    ],
)
def test_more_than_there_is_is_refused_with_what_there_is(changed, words):
    with pytest.raises(SettingsError) as error:
        cut_slots(settings(**changed), GPUS, cores=4)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(("quota", "most"), [("250000 100000", 2), ("1000 100000", 1)])
def test_a_containers_quota_limits_the_cores(tmp_path, quota, most):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert cpu_cores(tmp_path / "cpu.max") == min(most, cpu_cores(tmp_path / "absent"))


def test_no_quota_leaves_all_cores(tmp_path):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_cores(tmp_path / "cpu.max") == cpu_cores(tmp_path / "absent")
