"""A small disk that can really be full, where the tests' user may mount one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SIZE = "96m"  # of which a study that has paused wants 32 free before it goes on


@contextlib.contextmanager
def small_disk(place: Path, *, wanted: bool) -> Iterator[bool]:
    """Mount one at a folder if it is wanted; whether there is one."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(place)]
    mounted = wanted and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)
