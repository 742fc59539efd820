"""The threads of this process: how many compute, and how they wait for one another.

Threads of OpenMP spin while they wait. Alone on their cores nothing is faster; beside a
neighbour's threads they take the cores from those that they wait for, and both are slower by far
more than their share (benchmarks/neighbours.py). libgomp, which is in torch's wheels, spins 300 000
times, but only 100 times while its process manages more threads than there are cores (its manual,
GOMP_SPINCOUNT). So a process that waits for its turn lets it manage some more, which sleep.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from functools import cache
from pathlib import Path

import torch

LOOK_SECONDS = 1.0
# Shares of the time that the main thread waited for a core: from one on there is a neighbour, below
# the other there is none any more.
CROWDED, ALONE = 0.05, 0.02
# What a person says in the environment about the waiting is left at that.
WORDS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_TURNS = Path("/proc/self/schedstat")  # of the main thread: ns on a core, ns waiting for one, turns


def limit_threads(threads: int) -> None:
    """Keep this process's numerical libraries to its share of the cores."""
    numba = sys.modules.get("numba")  # only where the family brought it
    if numba is not None:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    # Last, because numba's first word sets OpenMP, which is torch's too, to every core.
    torch.set_num_threads(threads)


@cache
def give_way(*, always: bool = False) -> None:
    """From now on have torch's threads spin but shortly while others want the cores.

    Once a process. Without effect where torch has one thread or another library than libgomp, where
    the kernel does not say who waits, and where the environment has word on the waiting.

    Args:
        always: whoever wants them; for a process that may take no memory for threads later on.
    """
    libgomp = _libgomp()
    if torch.get_num_threads() == 1 or libgomp is None or any(word in os.environ for word in WORDS):
        return
    sleepers = _Sleepers(libgomp, torch.get_num_threads())
    if always:
        sleepers.begin()
    elif _TURNS.exists():
        threading.Thread(target=_look, args=(sleepers,), daemon=True).start()


def _look(sleepers: _Sleepers) -> None:
    while True:
        before, begun = _waited(), time.monotonic_ns()
        time.sleep(LOOK_SECONDS)
        share = (_waited() - before) / (time.monotonic_ns() - begun)
        if share > CROWDED:
            sleepers.begin()
        elif share < ALONE:
            sleepers.end()


def _waited() -> int:
    """Nanoseconds for which the main thread could have run and had no core."""
    return int(_TURNS.read_text().split()[1])


class _Sleepers:
    """A second team of libgomp's, which does nothing but count: more threads than cores in all."""

    def __init__(self, libgomp: ctypes.CDLL, threads: int) -> None:
        self._libgomp = libgomp
        # The team's first thread is not libgomp's own, and does not count.
        self._team = max(2, len(os.sched_getaffinity(0)) - threads + 2)
        self._over: threading.Event | None = None

    def begin(self) -> None:
        """Start them; they are there when this returns."""
        if self._over is None and _may_start(self._team):
            there, self._over = threading.Event(), threading.Event()
            threading.Thread(target=self._sleep, args=(there, self._over), daemon=True).start()
            there.wait()

    def _sleep(self, there: threading.Event, over: threading.Event) -> None:
        # Any function will do for each to call once; the team lives as long as this thread.
        function = ctypes.cast(self._libgomp.omp_get_thread_num, ctypes.c_void_p)
        self._libgomp.GOMP_parallel(function, None, self._team, 0)
        there.set()
        over.wait()

    def end(self) -> None:
        if self._over is not None:
            self._over.set()
            self._over = None


def _may_start(threads: int) -> bool:
    """Whether so many can be started: Python says it, libgomp would end the process."""
    over = threading.Event()
    started = []
    try:
        for _ in range(threads):
            started.append(threading.Thread(target=over.wait, daemon=True))
            started[-1].start()
    except RuntimeError:
        return False
    finally:
        over.set()
    for thread in started:
        thread.join()
    return True


def _libgomp() -> ctypes.CDLL | None:
    """The library behind torch's loops, if it is libgomp: one loaded before torch, or its own."""
    if sys.platform != "linux":
        return None
    for place in (None, Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"):
        try:
            library = ctypes.CDLL(place if place is None else str(place))
            library.GOMP_parallel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 2
        except (OSError, AttributeError):
            continue
        # LLVM's library has libgomp's names as well; its threads yield while they spin.
        return None if hasattr(library, "kmp_get_blocktime") else library
    return None
