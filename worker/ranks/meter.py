"""What an attempt takes of one rank's devices: memory at most, and energy where NVML tells it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import pynvml
import torch

from protocol.messages import Used, append_event
from worker.machine.memory import Usage
from worker.ranks.trial import Trial

TELL_SECONDS = 60.0  # at least between two words of a rank, but for its last


class Meter:
    """Measures from when it is made; says what was taken since its last word."""

    def __init__(self, trial: Trial) -> None:
        names = trial.plan.devices if trial.plan.mapped else [str(trial.group.device)]
        devices = [torch.device(name) for name in names]
        self._trial = trial
        self._usage = Usage(devices)
        self._energy = EnergyCounter(devices)
        self._told = time.monotonic()
        self._joules = self._energy.joules()

    def look(self) -> None:
        """To be called at an epoch's end."""
        if time.monotonic() - self._told >= TELL_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Say it now."""
        self._told = time.monotonic()
        # What is wrong with disk or device is told by what cannot do without it.
        with contextlib.suppress(OSError, MemoryError, RuntimeError):
            append_event(
                self._trial.folder.events,
                Used(
                    attempt=self._trial.plan.attempt,
                    rank=self._trial.group.rank,
                    peaks=self._usage.peaks(),
                    joules=self._spent(),
                ),
            )

    def _spent(self) -> float | None:
        before, self._joules = self._joules, self._energy.joules()
        return None if before is None or self._joules is None else self._joules - before


class EnergyCounter:
    """The counters of GPUs, which their drivers keep; whoever uses them is counted."""

    def __init__(self, devices: Iterable[torch.device]) -> None:
        gpus = sorted({device for device in devices if device.type == "cuda"}, key=str)
        self._handles = [handle for gpu in gpus if (handle := _handle(gpu)) is not None]
        self._all = bool(gpus) and len(self._handles) == len(gpus)

    def joules(self) -> float | None:
        """Since some moment in the past; None where one of the devices does not tell."""
        if not self._all:
            return None
        try:
            read = map(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handles)
            return sum(read) / 1000.0
        except pynvml.NVMLError:
            return None


def _handle(gpu: torch.device) -> object | None:
    """NVML counts GPUs otherwise than CUDA: they meet in the GPU's own identity."""
    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(gpu).uuid
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except (pynvml.NVMLError, RuntimeError):
        return None
