"""Room on the disk: a full one makes a study pause, not end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from protocol.errors import UserError, chain, is_full
from protocol.folders import StudyFolder

LOOK_SECONDS = 5.0  # between two looks whether there is room again
_LEAST = 32 << 20  # bytes without which it makes no sense to go on


class DiskFull(UserError):
    """There is no room where the study is kept; every trial can be resumed."""


def disk_full(folder: StudyFolder) -> DiskFull:
    """The sentence for it."""
    return DiskFull(
        f"the disk that holds {folder.path} is full; the study pauses, running trials keep their "
        "last checkpoints, and it goes on by itself when there is room"
    )


def comes_of_full_disk(error: BaseException) -> bool:
    """Whether a full disk, or a used-up quota, is what an error comes from."""
    return any(
        is_full(cause) or "database or disk is full" in str(cause)  # SQLite has no errno for it
        for cause in chain(error)
    )


def room_needed(folder: StudyFolder) -> int:
    """Bytes that are to be free before trials go on: for two of the largest checkpoint so far."""
    sizes = (path.stat().st_size for path in folder.path.glob("trial_*/**/last.pth"))
    return max(_LEAST, 2 * max(sizes, default=0))


def has_room(folder: Path, size: int) -> bool:
    """Whether `size` bytes can be written in a folder: by taking them, for quotas show nowhere."""
    probe = folder / f".room.{os.getpid()}.partial"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        if is_full(error):
            return False
        raise
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return True


def wait_for_room(folder: StudyFolder, pause: Callable[[float], bool]) -> bool:
    """Wait until there is room; False where `pause` said that nobody wants to wait any longer.

    Args:
        folder: where room is needed.
        pause: sleeps so many seconds; False ends the waiting.
    """
    size = room_needed(folder)
    while not has_room(folder.path, size):
        if not pause(LOOK_SECONDS):
            return False
    return True
