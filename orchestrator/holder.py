"""Who holds a study's lock, for those who only look.

The lock itself is not touched: even a moment's try would turn an orchestrator away that starts
just then.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Holder:
    """The process that works on a study."""

    pid: int
    host: str
    start: float  # when it took the lock, in seconds since the epoch


def live_holder(lock: Path) -> Holder | None:
    """Who holds the lock; None when nobody does, or when its holder is dead.

    A holder on another host cannot be looked at from here and counts as alive.
    """
    try:
        content = json.loads(lock.read_text())
        holder = Holder(int(content["pid"]), str(content["host"]), float(content["start"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never taken, given back, or being written at this moment
    return holder if holder.host != socket.gethostname() or _alive(holder) else None


def _alive(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.pid)
        # Process ids come round again: one that began after the lock was taken is another's.
        began_before = process.create_time() <= holder.start + 1.0
        return began_before and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
