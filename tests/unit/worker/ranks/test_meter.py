"""What a rank says that it took; NVML, which is not here, is played."""

import pynvml
import pytest
import torch

from protocol.messages import Launched, Used
from tests.ranks import attempt, events, make_plan
from worker.ranks.meter import EnergyCounter

GPUS = [torch.device("cuda:0"), torch.device("cuda:1")]


@pytest.fixture
def nvml(monkeypatch):
    """The GPUs' counters in millijoules, by what NVML knows them by."""
    counters = {"GPU-a": 1_000, "GPU-b": 5_000}

    def handle(uuid):
        if uuid not in counters:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    class Properties:
        def __init__(self, gpu):
            self.uuid = "ab"[gpu.index] if gpu.index < 2 else "unknown"

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", counters.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_properties", Properties)
    return counters


def test_energy_is_that_of_all_the_ranks_devices_each_once(nvml):
    assert EnergyCounter([*GPUS, GPUS[0]]).joules() == 6.0
    nvml["GPU-b"] += 500
    assert EnergyCounter([GPUS[1]]).joules() == 5.5


def test_a_device_that_does_not_tell_makes_the_sum_unknown(nvml):
    assert EnergyCounter([GPUS[0], torch.device("cuda:2")]).joules() is None
    assert EnergyCounter([torch.device("cpu")]).joules() is None
    assert EnergyCounter([]).joules() is None


def test_without_nvidias_driver_nothing_is_known(monkeypatch):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert EnergyCounter([GPUS[0]]).joules() is None


def test_every_rank_says_what_it_took_and_the_first_when_the_devices_are_held(tmp_path):
    trial = make_plan(tmp_path, ranks=2)
    assert attempt(trial, ranks=2) == [0, 0]
    (launched,) = events(trial, Launched)
    assert launched.devices == 1  # the machine, whose CPU is used
    used = events(trial, Used)
    assert sorted(event.rank for event in used) == [0, 1]
    assert all(event.peaks["cpu"] > 0 and event.joules is None for event in used)


def test_a_rank_that_fails_says_so_as_well(tmp_path):
    trial = make_plan(tmp_path, recipe={"raise_at_step": 2, "fault_rank": 0})
    assert attempt(trial) == [1]
    assert [event.rank for event in events(trial, Used)] == [0]
