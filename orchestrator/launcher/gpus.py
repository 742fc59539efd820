"""What NVML says of this machine's GPUs: how busy they are, their memory, and who uses them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import psutil
import pynvml

_LOOK_SECONDS = 2.0
_FIRST_SECONDS = 5.0  # that the first look is waited for
_SETTLE_SECONDS = 5.0  # after which what a trial of ours left of its use is gone
_BUSY = 0.1  # of the time or the memory, from which on somebody uses a GPU


@dataclass(frozen=True, kw_only=True)
class GpuUse:
    """One GPU at one moment."""

    busy: float  # share of the last moment in which something ran on it
    used: int  # bytes
    total: int  # bytes
    others: Sequence[int] = ()  # processes that are none of this program's


class Gpus:
    """Asked again and again in a thread of its own: a driver may take its time, or never answer."""

    def __init__(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Args: found: GPUs, their `index` as CUDA counts and their `uuid`."""
        self.trouble = ""  # why nothing is known
        self._uuids = {f"cuda:{gpu['index']}": gpu.get("uuid", "") for gpu in found}
        self._uses: dict[str, tuple[float, GpuUse]] = {}
        self._ours: dict[str, float] = {}  # until when they were this program's
        self._closing, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._uuids:
            self._thread.start()
            self._looked.wait(_FIRST_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()

    def use(self, device: str) -> GpuUse | None:
        """A GPU's use; None of a CPU, and where NVML does not tell."""
        known = self._uses.get(device)
        return known[1] if known else None

    def freed(self, devices: Sequence[str]) -> None:
        """A trial of this program has left them."""
        self._ours.update(dict.fromkeys(devices, time.monotonic()))

    def taken(self, devices: Sequence[str]) -> str:
        """Who else uses one of these devices, on which no trial of this program is now."""
        told = (self._taken(device) for device in devices)
        return next((sentence for sentence in told if sentence), "")

    def _taken(self, device: str) -> str:
        looked, use = self._uses.get(device, (0.0, None))
        if use is None:
            return ""
        if use.others:
            return f"{device} is used by {_named(use.others[0])}"
        if looked < self._ours.get(device, -_SETTLE_SECONDS) + _SETTLE_SECONDS:
            return ""  # what is seen may be what a trial of ours has left
        if use.busy >= _BUSY or use.used >= _BUSY * use.total:
            return f"{device} is used by somebody else"
        return ""

    def _watch(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self.trouble = str(error)
            self._looked.set()
            return
        while not self._closing.is_set():
            for device, uuid in self._uuids.items():
                try:
                    self._uses[device] = time.monotonic(), _use(uuid)
                except pynvml.NVMLError as error:
                    self._uses.pop(device, None)
                    self.trouble = f"{device}: {error}"
            self._looked.set()
            self._closing.wait(_LOOK_SECONDS)


def _use(uuid: str) -> GpuUse:
    # NVML counts GPUs otherwise than CUDA: they meet in the GPU's own identity.
    handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    busy, processes = 0.0, []
    with contextlib.suppress(pynvml.NVMLError):  # which not every GPU or container tells
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0
    with contextlib.suppress(pynvml.NVMLError):
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    others = [process.pid for process in processes if not _is_ours(process.pid)]
    return GpuUse(busy=busy, used=int(memory.used), total=int(memory.total), others=others)


def _is_ours(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return any(one.pid == os.getpid() for one in (process, *process.parents()))
    except psutil.Error:
        return False


def _named(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return f"process {pid} of {process.username()}"
    return f"process {pid}"
