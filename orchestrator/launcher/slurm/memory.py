"""Whether the kernel has killed processes of this job for taking more memory than it was given.

A rank that dies of that has no time to say so; its control group counts it.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def kills_for_memory(
    membership: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> int:
    """Kills so far in this process's control group and its job's, of cgroup v1 or v2."""
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers == "":
                return _count(groups, place, "memory.events")
            if "memory" in controllers.split(","):
                return _count(groups / "memory", place, "memory.oom_control")
    return 0


def _count(root: Path, place: str, name: str) -> int:
    """The largest count of this group and of those around it up to the job's, where there is one.

    Further up other jobs are counted as well.
    """
    own = root / place.lstrip("/")
    around = [own, *(group for group in own.parents if root in group.parents)]
    of_job = [depth for depth, group in enumerate(around) if group.name.startswith("job_")]
    counts = [0]
    for group in around[: of_job[0] + 1 if of_job else 1]:
        with contextlib.suppress(OSError):
            counts += [int(number) for number in _COUNT.findall((group / name).read_text())]
    return max(counts)
