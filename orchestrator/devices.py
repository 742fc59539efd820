"""Cutting the devices found into slots, one running trial each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings

_CORES_OF_A_CPU_TRIAL = 8  # by default; a big CPU server then runs several trials at once


@dataclass(frozen=True)
class Slot:
    """The devices of one running trial, one a rank, and the CPU threads of each rank."""

    devices: tuple[str, ...]
    threads: int


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


def cut_slots(settings: Settings, found: list[dict[str, Any]], cores: int) -> list[Slot]:
    """The slots of a study on the GPUs `found` (their `index` and `name`) and `cores`.

    Raises:
        SettingsError: a named device is not there, or a trial needs more than there are.
    """
    ranks = settings.parallel.ranks
    present = [f"cuda:{gpu['index']}" for gpu in found]
    if settings.devices == "auto":
        gpus = present
    else:
        wanted = ["cpu"] if settings.devices == "cpu" else list(settings.devices)
        gpus = [device for device in wanted if device != "cpu"]
        missing = [device for device in gpus if device not in present]
        if missing:
            raise SettingsError(
                f"devices: there is no {', '.join(missing)}; found are "
                f"{', '.join([*present, 'cpu'])}"
            )
    return _gpu_slots(settings, gpus, ranks, cores) if gpus else _cpu_slots(settings, ranks, cores)


def _gpu_slots(settings: Settings, gpus: list[str], ranks: int, cores: int) -> list[Slot]:
    most = len(gpus) // ranks
    if most == 0:
        raise SettingsError(
            f"parallel.ranks: found {ranks}, but there are {len(gpus)} GPUs to use; "
            "lower it, or set devices to cpu"
        )
    trials = most if settings.parallel_trials == "auto" else settings.parallel_trials
    if trials > most:
        raise SettingsError(
            f"parallel_trials: {trials} trials of {ranks} ranks need {trials * ranks} GPUs, "
            f"but there are {len(gpus)}"
        )
    threads = max(1, cores // (trials * ranks))
    return [Slot(tuple(gpus[i * ranks : (i + 1) * ranks]), threads) for i in range(trials)]


def _cpu_slots(settings: Settings, ranks: int, cores: int) -> list[Slot]:
    automatic = max(1, cores // max(ranks, _CORES_OF_A_CPU_TRIAL))
    trials = automatic if settings.parallel_trials == "auto" else settings.parallel_trials
    threads = max(1, cores // (trials * ranks))
    return [Slot(("cpu",) * ranks, threads)] * trials
