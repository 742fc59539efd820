"""The environment of the fork server, which is that of all its workers."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# How glibc's malloc hands out memory. By itself it gives much of what is free back to the kernel,
# and the tensors of the next step pay for every page anew (benchmarks/allocator.py). These are the
# thresholds to which it would raise its own at most, and larger pages for what lies beyond them.
ALLOCATING = {
    "GLIBC_TUNABLES": ":".join(
        (
            f"glibc.malloc.mmap_threshold={32 * 2**20}",
            f"glibc.malloc.trim_threshold={64 * 2**20}",
            "glibc.malloc.hugetlb=1",
        )
    )
}
# For how many milliseconds threads of LLVM's OpenMP library spin while they wait. Those of libgomp,
# which is in torch's wheels, are looked after by the workers (worker/machine/threads.py).
WAITING = {"KMP_BLOCKTIME": "1"}
# Nobody looks after those of a command of the user's, so that they get a number of spins.
WAITING_OF_SCRIPTS = WAITING | {"GOMP_SPINCOUNT": "1000"}
_ON_ALLOCATING = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
_ON_WAITING = ("OMP_WAIT_POLICY",)


def server_environment(*, scripts: bool) -> dict[str, str]:
    """Ours, and what it leaves unsaid of how workers wait and take memory.

    Args:
        scripts: the workers are commands of the user's, whose memory is their own business.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (str(ROOT), environment.get("PYTHONPATH")) if part
    )
    # NumPy's linear algebra would start a thread in the server, which must not have any.
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    waiting = WAITING_OF_SCRIPTS if scripts else WAITING
    if not any(name in environment for name in (*WAITING_OF_SCRIPTS, *_ON_WAITING)):
        environment |= waiting
    if not scripts and not any(name in environment for name in (*ALLOCATING, *_ON_ALLOCATING)):
        environment |= ALLOCATING
    return environment
