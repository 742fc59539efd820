"""Cutting the devices found into slots, one running trial each."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator import words
from orchestrator.settings.schema import Settings
from protocol.errors import SettingsError

_CROWD = 8  # processes a core from which on they are taken for a mistake
_CORES_OF_A_CPU_TRIAL = 8  # by default; a big CPU server then runs several trials at once


@dataclass(frozen=True)
class Slot:
    """The devices of one running trial, one a process, and the CPU threads of each process.

    Under a device map one process has them all.
    """

    devices: tuple[str, ...]
    threads: int

    @property
    def device_count(self) -> int:
        """GPUs; a CPU's slot counts as one."""
        return sum(device != "cpu" for device in self.devices) or 1


def cpu_cores(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores this process may use: its affinity, and its control group's quota."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = quota_file.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def cut_slots(
    settings: Settings, found: list[dict[str, Any]], cores: int, threads: int | None = None
) -> list[Slot]:
    """The slots of a study on the GPUs `found` (their `index` and `name`) and `cores`.

    Args:
        settings: the study's.
        found: GPUs.
        cores: that may be used.
        threads: of one rank, as they were when the study began; None of a new one.

    Raises:
        SettingsError: a named device is not there, or a trial needs more than there are.
    """
    slots = _cut(settings, found, cores)
    if settings.threads != "auto":
        threads = settings.threads
    return slots if threads is None else [replace(slot, threads=threads) for slot in slots]


def job_slots(settings: Settings, threads: int | None = None) -> list[Slot]:
    """The slots of a study on a cluster: one a job. Each job counts its own devices from 0.

    Args:
        settings: the study's.
        threads: of one rank, as they were when the study began; None of a new one.

    Raises:
        SettingsError: the settings fit no job.
    """
    launcher, parallel = settings.launcher, settings.parallel
    if settings.parallel_trials != "auto":
        raise SettingsError(
            f"found {settings.parallel_trials}, but on a cluster launcher.jobs says how many "
            "trials run at a time; leave it out",
            key="parallel_trials",
        )
    for key, given in (("devices", settings.devices), ("parallel.devices", parallel.devices)):
        if isinstance(given, list):
            raise SettingsError(
                "on a cluster Slurm chooses the devices; leave it out, and say how many there are "
                "to be by launcher.gpus_per_node",
                key=key,
            )
    share, rest = divmod(parallel.processes, launcher.nodes)
    if rest or share == 0:
        raise SettingsError(
            f"found {launcher.nodes}, over which {words.counted(parallel.processes, 'process')} "
            "of a trial cannot be spread evenly",
            key="launcher.nodes",
        )
    of_node = parallel.trial_devices // launcher.nodes
    on_cpus = settings.devices == "cpu" or launcher.gpus == 0
    if not on_cpus and of_node > launcher.gpus:
        raise SettingsError(
            f"found {launcher.gpus}, but {_what(settings)} on {launcher.nodes} nodes need "
            f"{of_node} GPUs of each",
            key="launcher.gpus_per_node",
        )
    devices = ["cpu" if on_cpus else f"cuda:{index}" for index in range(of_node)]
    if settings.threads != "auto":
        threads = settings.threads
    if threads is None:
        threads = _share(launcher.cpus_per_task or share, share)
    return [Slot(tuple(devices * launcher.nodes), threads)] * launcher.jobs


def _cut(settings: Settings, found: list[dict[str, Any]], cores: int) -> list[Slot]:
    present = [f"cuda:{gpu['index']}" for gpu in found]
    if settings.parallel.devices is not None:
        return _given_slots(settings, settings.parallel.devices, present, cores)
    if settings.devices == "auto":
        gpus = present
    else:
        wanted = ["cpu"] if settings.devices == "cpu" else list(settings.devices)
        gpus = [device for device in wanted if device != "cpu"]
        _refuse_missing("devices", gpus, present)
    return _gpu_slots(settings, gpus, cores) if gpus else _cpu_slots(settings, cores)


def _refuse_missing(key: str, wanted: list[str], present: list[str]) -> None:
    missing = [device for device in wanted if device not in (*present, "cpu")]
    if missing:
        raise SettingsError(
            f"there is no {', '.join(missing)}; found are {', '.join([*present, 'cpu'])}", key=key
        )


def _given_slots(
    settings: Settings, devices: list[str], present: list[str], cores: int
) -> list[Slot]:
    """The named devices for one trial at a time; on the CPU for as many as there are cores."""
    _refuse_missing("parallel.devices", devices, present)
    if all(device == "cpu" for device in devices):
        return _cpu_slots(settings, cores)
    if settings.parallel_trials not in ("auto", 1):
        raise SettingsError(
            f"found {settings.parallel_trials}, but parallel.devices are those of "
            "one trial at a time; expected 1, or parallel.stages instead",
            key="parallel_trials",
        )
    return [Slot(tuple(devices), _share(cores, settings.parallel.processes))]


def _gpu_slots(settings: Settings, gpus: list[str], cores: int) -> list[Slot]:
    needed = settings.parallel.trial_devices
    most = len(gpus) // needed
    if most == 0:
        key = "ranks" if settings.parallel.depth == 1 else "stages"
        raise SettingsError(
            f"found {getattr(settings.parallel, key)}, but there are {len(gpus)} "
            f"GPUs to use; lower it, or set devices to cpu",
            key=f"parallel.{key}",
        )
    trials = most if settings.parallel_trials == "auto" else settings.parallel_trials
    if trials > most:
        raise SettingsError(
            f"{trials} trials of {_what(settings)} need {trials * needed} GPUs, "
            f"but there are {len(gpus)}",
            key="parallel_trials",
        )
    threads = _share(cores, trials * settings.parallel.processes)
    return [Slot(tuple(gpus[i * needed : (i + 1) * needed]), threads) for i in range(trials)]


def _what(settings: Settings) -> str:
    ranks, depth = settings.parallel.ranks, settings.parallel.depth
    if depth == 1:
        return f"{ranks} ranks"
    return f"{depth} stages" if ranks == 1 else f"{ranks} ranks of {depth} stages"


def _share(cores: int, processes: int) -> int:
    """The threads of each of so many processes; OMP_NUM_THREADS is the user's word on it."""
    most = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, cores // processes)
    return min(share, max(1, int(most))) if most.isdecimal() else share


def _refuse_crowd(settings: Settings, processes: int, cores: int) -> None:
    """Processes that only take the cores from one another are a mistake, unless they are meant."""
    if processes > _CROWD * cores and settings.threads == "auto":
        key = "parallel_trials" if settings.parallel.processes <= cores else "parallel"
        raise SettingsError(
            f"{processes} processes at a time on {words.counted(cores, 'core')} would stand in "
            "each other's way; lower it, or set threads: 1 where that is meant",
            key=key,
        )


def _cpu_slots(settings: Settings, cores: int) -> list[Slot]:
    processes = settings.parallel.processes
    automatic = max(1, cores // max(processes, _CORES_OF_A_CPU_TRIAL))
    trials = automatic if settings.parallel_trials == "auto" else settings.parallel_trials
    _refuse_crowd(settings, trials * processes, cores)
    threads = _share(cores, trials * processes)
    return [Slot(("cpu",) * settings.parallel.trial_devices, threads)] * trials
