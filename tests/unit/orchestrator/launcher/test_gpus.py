"""What is known of GPUs and of who uses them; NVML, which is not here, is played."""

import os
import subprocess
import types

import pynvml
import pytest

from orchestrator.launcher import gpus as module
from orchestrator.launcher.gpus import Gpus

GIB = 2**30
FOUND = [{"index": 0, "uuid": "a"}, {"index": 1, "uuid": "b"}]


class Nvml:
    """Two GPUs of 80 GiB, whose use a test sets."""

    def __init__(self):
        self.busy, self.used, self.pids = {"a": 0, "b": 0}, {"a": 0, "b": 0}, {"a": [], "b": []}

    def nvmlDeviceGetMemoryInfo(self, gpu):
        return types.SimpleNamespace(used=self.used[gpu], total=80 * GIB)

    def nvmlDeviceGetUtilizationRates(self, gpu):
        return types.SimpleNamespace(gpu=self.busy[gpu])

    def nvmlDeviceGetComputeRunningProcesses(self, gpu):
        if self.pids[gpu] is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [types.SimpleNamespace(pid=pid) for pid in self.pids[gpu]]


@pytest.fixture
def nvml(monkeypatch):
    played = Nvml()
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid.removeprefix("GPU-"))
    for name in ("MemoryInfo", "UtilizationRates", "ComputeRunningProcesses"):
        monkeypatch.setattr(pynvml, f"nvmlDeviceGet{name}", getattr(played, f"nvmlDeviceGet{name}"))
    return played


def looked(found=FOUND):
    with Gpus(found) as gpus:
        return gpus


def test_use_and_memory_are_by_cudas_names(nvml):
    nvml.busy["b"], nvml.used["b"] = 87, 10 * GIB
    use = looked().use("cuda:1")
    assert (use.busy, use.used, use.total) == (0.87, 10 * GIB, 80 * GIB)
    assert looked().use("cpu") is None


def test_a_process_of_somebody_else_takes_a_gpu_and_one_of_ours_does_not(nvml):
    ours = subprocess.Popen(["sleep", "60"])
    try:
        nvml.pids = {"a": [os.getpid(), ours.pid], "b": [1]}
        gpus = looked()
        assert gpus.taken(["cuda:0"]) == ""
        assert gpus.taken(["cuda:0", "cuda:1"]).startswith("cuda:1 is used by process 1")
    finally:
        ours.kill()
        ours.wait()


def test_where_processes_are_hidden_use_and_memory_tell(nvml):
    nvml.pids = {"a": None, "b": []}
    nvml.busy["a"], nvml.used["b"] = 50, 9 * GIB
    gpus = looked()
    assert gpus.taken(["cuda:0"]) == "cuda:0 is used by somebody else"
    assert gpus.taken(["cuda:1"]) == "cuda:1 is used by somebody else"
    gpus.freed(["cuda:1"])  # it may be what a trial of ours has left
    assert gpus.taken(["cuda:1"]) == ""
    nvml.pids["b"] = [1]
    later = looked()
    later.freed(["cuda:1"])
    assert "process 1" in later.taken(["cuda:1"])


def test_a_gpu_that_does_little_is_free(nvml):
    nvml.busy["a"], nvml.used["a"] = 3, GIB
    assert looked().taken(["cuda:0"]) == ""


def test_without_nvidias_driver_nothing_is_known_and_it_is_said_why(monkeypatch):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    gpus = looked()
    assert "Not Found" in gpus.trouble
    assert gpus.use("cuda:0") is None
    assert gpus.taken(["cuda:0"]) == ""
    assert looked([]).trouble == ""


def test_it_is_asked_again_and_again_until_the_end(nvml, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    with Gpus(FOUND) as gpus:
        nvml.busy["a"] = 40
        while gpus.use("cuda:0").busy == 0.0:
            pass
    gpus._thread.join(5.0)
    assert not gpus._thread.is_alive()
