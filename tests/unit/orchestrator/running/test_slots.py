import os

import pytest

from orchestrator.running.slots import Slot, cpu_cores, cut_slots, job_slots
from protocol.errors import SettingsError
from tests.searches import NUMBERS, make_settings


@pytest.fixture(autouse=True)
def no_word_on_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_threads_stay_what_they_were_when_the_study_began_until_they_are_set():
    settings = make_settings(NUMBERS, {})
    assert cut_slots(settings, [], cores=16, threads=3)[0].threads == 3
    settings = make_settings(NUMBERS, {}, threads=5)
    assert cut_slots(settings, [], cores=16, threads=3)[0].threads == 5


def test_the_users_word_on_threads_holds_for_every_rank(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert slots(cores=16, parallel_trials=1)[0].threads == 2
    assert slots(cores=2, ranks=2)[0].threads == 1


def test_a_crowd_of_processes_is_refused_unless_it_is_meant():
    with pytest.raises(SettingsError, match="parallel: 64 processes at a time on 2 cores"):
        slots(cores=2, ranks=64)
    with pytest.raises(SettingsError, match="parallel_trials"):
        slots(cores=2, parallel_trials=64)
    assert len(slots(cores=2, ranks=64, threads=1)[0].devices) == 64


def slots(*, gpus: int = 0, cores: int = 16, ranks: int = 1, **given) -> list[Slot]:
    found = [{"index": index, "name": "a GPU"} for index in range(gpus)]
    settings = make_settings(NUMBERS, {}, parallel={"ranks": ranks}, **given)
    return cut_slots(settings, found, cores)


def test_every_gpu_becomes_a_slot_of_its_own():
    assert slots(gpus=2) == [Slot(("cuda:0",), 8), Slot(("cuda:1",), 8)]


def test_a_trial_of_several_ranks_gets_neighbouring_gpus_and_leaves_the_rest():
    found = slots(gpus=5, ranks=2, cores=16)
    assert found == [Slot(("cuda:0", "cuda:1"), 4), Slot(("cuda:2", "cuda:3"), 4)]


def test_fewer_trials_at_a_time_get_more_threads_each():
    assert slots(gpus=4, parallel_trials=1) == [Slot(("cuda:0",), 16)]


def test_named_gpus_are_used_in_the_order_named():
    assert slots(gpus=4, devices=["cuda:3", "cuda:1"]) == [
        Slot(("cuda:3",), 8),
        Slot(("cuda:1",), 8),
    ]


def test_asking_for_the_cpu_leaves_the_gpus_alone():
    assert slots(gpus=2, devices="cpu", cores=8) == [Slot(("cpu",), 8)]
    assert slots(gpus=2, devices=["cpu"], cores=8) == [Slot(("cpu",), 8)]


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 15, 16, 31, 64])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_ranks_on_a_cpu_share_its_cores_without_oversubscribing_them(cores, ranks):
    found = slots(cores=cores, ranks=ranks)
    assert all(slot.devices == ("cpu",) * ranks for slot in found)
    threads = sum(slot.threads * len(slot.devices) for slot in found)
    assert threads <= max(cores, ranks), "a rank has one thread at least"
    assert threads > cores - len(found) * ranks, "and no core lies idle"


def test_a_big_cpu_server_runs_several_trials_at_once():
    assert len(slots(cores=4)) == len(slots(cores=15)) == 1
    assert len(slots(cores=16)) == 2
    assert len(slots(cores=64)) == 8
    assert len(slots(cores=64, ranks=16)) == 4


def cut_into(parallel, *, gpus=0, cores=16, **given) -> list[Slot]:
    found = [{"index": index, "name": "a GPU"} for index in range(gpus)]
    return cut_slots(make_settings(NUMBERS, {}, parallel=parallel, **given), found, cores)


def test_a_trial_in_stages_gets_all_its_gpus_or_none():
    three = {"kind": "model", "stages": 3}
    assert cut_into(three, gpus=5) == [Slot(("cuda:0", "cuda:1", "cuda:2"), 5)]
    mesh = {"kind": "ddp+model", "ranks": 2, "stages": 2}
    assert cut_into(mesh, gpus=4) == [Slot(("cuda:0", "cuda:1", "cuda:2", "cuda:3"), 4)]
    with pytest.raises(SettingsError, match=r"parallel.stages: found 3, but there are 2 GPUs"):
        cut_into(three, gpus=2)
    sentence = "2 trials of 2 ranks of 2 stages need 8 GPUs, but there are 4"
    with pytest.raises(SettingsError, match=sentence):
        cut_into(mesh, gpus=4, parallel_trials=2)


def test_named_devices_of_stages_are_those_of_one_trial_at_a_time():
    named = {"kind": "model", "devices": ["cuda:2", "cuda:0"]}
    assert cut_into(named, gpus=3) == [Slot(("cuda:2", "cuda:0"), 8)]
    with pytest.raises(SettingsError, match=r"parallel.devices: there is no cuda:2; found are"):
        cut_into(named, gpus=2)
    with pytest.raises(SettingsError, match=r"parallel_trials: found 2, but parallel.devices are"):
        cut_into(named, gpus=3, parallel_trials=2)


def test_stages_on_the_cpu_share_its_cores():
    for parallel in ({"kind": "model", "stages": 3}, {"kind": "model", "devices": ["cpu"] * 3}):
        assert cut_into(parallel, cores=6) == [Slot(("cpu",) * 3, 2)]


def test_the_one_process_of_a_device_map_has_all_threads():
    mapped = {"kind": "model", "devices": ["cpu"] * 3, "schedule": "device_map"}
    assert cut_into(mapped, cores=6) == [Slot(("cpu",) * 3, 6)]


def test_the_number_of_trials_at_a_time_can_be_set_on_a_cpu():
    assert slots(cores=16, parallel_trials=4, ranks=2) == [Slot(("cpu", "cpu"), 2)] * 4


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"gpus": 2, "devices": ["cuda:2"]},
            "devices: there is no cuda:2; found are cuda:0, cuda:1, cpu",
        ),
        ({"devices": ["cuda:0", "cuda:1"]}, "devices: there is no cuda:0, cuda:1; found are cpu"),
        ({"gpus": 1, "ranks": 2}, "parallel.ranks: found 2, but there are 1 GPUs to use; lower it"),
        (
            {"gpus": 4, "ranks": 2, "parallel_trials": 3},
            "parallel_trials: 3 trials of 2 ranks need 6 GPUs, but there are 4",
        ),
    ],
)
def test_what_the_machine_cannot_do_is_refused_by_key(given, sentence):
    with pytest.raises(SettingsError) as caught:
        slots(**given)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 6),
        ("200000 100000", 2),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("900000 100000", 6),
        ("", 6),
        ("nonsense", 6),
        (None, 6),
    ],
)
def test_cores_are_those_of_the_affinity_or_of_the_containers_quota(
    monkeypatch, tmp_path, quota, cores
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5, 8, 9})
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    assert cpu_cores(file) == cores


def test_this_machine_has_cores():
    assert 1 <= cpu_cores() <= len(os.sched_getaffinity(0))


def of_jobs(threads=None, parallel=None, launcher=None, **given) -> list[Slot]:
    asked = {"kind": "slurm", "jobs": 2} | (launcher or {})
    settings = make_settings(NUMBERS, {}, parallel=parallel or {}, launcher=asked, **given)
    return job_slots(settings, threads)


def test_every_job_is_a_slot_and_counts_its_own_devices():
    assert of_jobs() == [Slot(("cpu",), 1)] * 2
    assert of_jobs(launcher={"gpus_per_node": 1, "cpus_per_task": 6}) == [Slot(("cuda:0",), 6)] * 2
    spread = {"nodes": 2, "gres": "gpu:a100:4", "cpus_per_task": 8, "jobs": 1}
    four = tuple(f"cuda:{index}" for index in range(4))
    assert of_jobs(parallel={"ranks": 8}, launcher=spread) == [Slot(four * 2, 2)]
    pair = {"nodes": 2, "gpus_per_node": 2, "jobs": 1}
    staged = {"kind": "ddp+model", "ranks": 2, "stages": 2}
    assert of_jobs(parallel=staged, launcher=pair)[0].devices == ("cuda:0", "cuda:1") * 2


def test_a_trial_on_cpus_leaves_a_jobs_gpus_alone():
    assert of_jobs(launcher={"gpus_per_node": 2}, devices="cpu")[0].devices == ("cpu",)


def test_threads_of_a_job_stay_what_they_were_until_they_are_set():
    assert of_jobs(threads=3)[0].threads == 3
    assert of_jobs(threads=3, launcher={"cpus_per_task": 8})[0].threads == 3
    settings = make_settings(NUMBERS, {}, launcher={"kind": "slurm"}, threads=5)
    assert job_slots(settings, 3)[0].threads == 5


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"parallel_trials": 3}, "parallel_trials: found 3, but on a cluster launcher.jobs says"),
        ({"devices": ["cuda:1"]}, "devices: on a cluster Slurm chooses the devices"),
        (
            {"parallel": {"kind": "model", "devices": ["cuda:0", "cuda:1"]}},
            "parallel.devices: on a cluster Slurm chooses the devices",
        ),
        (
            {"parallel": {"ranks": 3}, "launcher": {"nodes": 2}},
            "launcher.nodes: found 2, over which 3 processes of a trial cannot be spread evenly",
        ),
        ({"launcher": {"nodes": 2}}, "launcher.nodes: found 2, over which 1 process"),
        (
            {"parallel": {"ranks": 8}, "launcher": {"nodes": 2, "gpus_per_node": 2}},
            "launcher.gpus_per_node: found 2, but 8 ranks on 2 nodes need 4 GPUs of each",
        ),
    ],
)
def test_what_fits_no_job_is_refused_by_key(given, sentence):
    with pytest.raises(SettingsError) as caught:
        of_jobs(**given)
    assert str(caught.value).startswith(sentence)
