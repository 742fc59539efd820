"""Requests to stop: counted, not thrown, so that no line of the runner is cut in two.

They come as ^C, SIGTERM or SIGHUP, and as a file that somebody puts into the study's folder.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """How often the user or the system asked to stop; once is politely, twice is at once."""

    def __init__(self, request: Path | None = None) -> None:
        """Count signals, and the file `request` once while it is there."""
        self._request = request
        self._signals = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    @property
    def count(self) -> int:
        """How many requests there were."""
        return self._signals + (self._request is not None and self._request.exists())

    def fileno(self) -> int:
        """Readable when a signal has come since `drain`."""
        return self._read

    def drain(self) -> None:
        try:
            os.read(self._read, 4096)
        except BlockingIOError:
            return

    def __enter__(self) -> Self:
        self._earlier = {
            number: signal.signal(number, self._handle) for number in _SIGNALS if _heard(number)
        }
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1


def _heard(number: signal.Signals) -> bool:
    """Whether the signal is ours to take: under nohup the search outlives its terminal."""
    return number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
