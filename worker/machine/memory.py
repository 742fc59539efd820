"""Memory: what counts as running out of it, a rank's limit, and how much was needed at most."""

from __future__ import annotations

import errno
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import torch

from protocol.errors import SettingsError

GIB = 2**30
_STATUS = Path("/proc/self/status")
# How torch, oneDNN and CUDA's libraries put it where they raise a plain RuntimeError.
_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "ALLOC_FAILED",
    "out of memory",
    "bad_alloc",
    "Caught MemoryError in DataLoader worker",  # NumPy's own kind, which torch cannot make again
)
_ENOMEM = f"[Errno {errno.ENOMEM}]"
# What oneDNN says whenever it fails; with a limit to a CPU's memory, that is why.
_ONEDNN = ("could not create a primitive", "could not create a memory", "could not execute a prim")


def out_of_memory(error: BaseException, *, limited: bool) -> bool:
    """Whether memory ran out, of whatever device and in whichever library's words.

    Reading data counts too, in this process or in a loader's, whose error torch raises again here:
    fewer samples at once need less there as well. An error that was raised `from` such a one is
    one too.

    Args:
        limited: whether `limit_memory` holds in this process.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and (error.errno == errno.ENOMEM or _ENOMEM in str(error)):
        return True
    words = _OUT_OF_MEMORY + _ONEDNN if limited else _OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and any(word in str(error) for word in words):
        return True
    return error.__cause__ is not None and out_of_memory(error.__cause__, limited=limited)


def limit_memory(gib: float, devices: Iterable[torch.device]) -> Callable[[], None]:
    """Let this process take `gib` · 2³⁰ bytes from now on, and no more.

    On each GPU of `devices` that is torch's allocator; the CUDA context comes on top. On a CPU it
    is what the process writes to (the kernel's RLIMIT_DATA), in addition to what it holds now:
    tensors, NumPy arrays, Python objects and threads' stacks, but neither files that are mapped
    to be read nor memory shared with others. Processes that are forked later are limited alike.

    Returns:
        What lifts the limit again, so that there is room to write down that it was reached.

    Raises:
        SettingsError: this system cannot limit a process's memory.
    """
    gpus = [device for device in devices if device.type == "cuda"]
    for gpu in gpus:
        total = torch.cuda.get_device_properties(gpu).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * GIB / total), gpu)
    if gpus:
        return lambda: None
    if sys.platform != "linux":
        raise SettingsError(
            f"limits.memory_gb: found {gib:g}, but on {sys.platform} the memory of a process "
            "cannot be limited; remove it"
        )
    return _limit_data(gib)


def _limit_data(gib: float) -> Callable[[], None]:
    # The threads of the numerical libraries start now: without memory they would end the process.
    torch.ones(2**18).mul_(2.0)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = _of_status("VmData") + round(gib * GIB)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


class Usage:
    """How much memory this process has needed at most since this object was made."""

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self._devices = sorted(set(devices), key=str)
        self._resident = int(psutil.Process().memory_info().rss)
        self._mapped = _mapped()
        self.available = {str(device): _available(device) for device in self._devices}  # bytes
        for device in self._devices:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)

    def peaks(self) -> dict[str, int]:
        """Bytes by device: of a GPU's tensors, or of this process's own resident memory.

        The latter is the growth since the beginning, less what of it is files mapped to be read.
        """
        return {str(device): self._peak(device) for device in self._devices}

    def _peak(self, device: torch.device) -> int:
        if device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(device))
        return max(0, _most_resident() - self._resident - (_mapped() - self._mapped))


def _available(device: torch.device) -> int:
    """What could be taken: free on the GPU, or on the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _most_resident() -> int:
    """The largest resident set of this process, in bytes."""
    if _STATUS.exists():
        return _of_status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _mapped() -> int:
    """Bytes of files, libraries above all, that are mapped and resident now."""
    return _of_status("RssFile") if _STATUS.exists() else 0


def _of_status(key: str) -> int:
    """A line `key:  123 kB` of the kernel's account of this process, in bytes."""
    lines = _STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1]) * 1024
