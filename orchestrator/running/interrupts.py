"""Requests to stop: counted, not thrown, so that no line of the runner is cut in two.

They come as ^C, SIGTERM or SIGHUP, and as a file that somebody puts into the study's folder. An
orchestrator in a job of a cluster is asked to leave instead, by which no trial stops.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AT_ONCE = "now"  # what the file says where the first request is the second


class Interrupts:
    """How often the user or the system asked to stop; once is politely, twice is at once."""

    def __init__(self, request: Path | None = None, leave: tuple[signal.Signals, ...] = ()) -> None:
        """Count signals, and the file `request` while it is there.

        Args:
            request: once, or twice where it says AT_ONCE.
            leave: signals by which this process is to leave, and nothing else to stop.
        """
        self._request = request
        self._signals = 0
        self._leave = leave
        self.left_by: signal.Signals | None = None  # the signal by which it is to leave
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    @property
    def count(self) -> int:
        """How many requests there were."""
        return self._signals + self._requested()

    def _requested(self) -> int:
        if self._request is None:
            return 0
        try:
            return 2 if self._request.read_text(errors="replace").strip() == AT_ONCE else 1
        except FileNotFoundError:
            return 0

    def stop(self) -> None:
        """Have it stop politely, as the first signal does; asked twice it is no more than that."""
        self._signals = max(self._signals, 1)

    def fileno(self) -> int:
        """Readable when a signal has come since `drain`."""
        return self._read

    def drain(self) -> None:
        try:
            os.read(self._read, 4096)
        except BlockingIOError:
            return

    def __enter__(self) -> Self:
        heard = [number for number in (*_SIGNALS, *self._leave) if _heard(number)]
        self._earlier = {number: signal.signal(number, self._handle) for number in set(heard)}
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number in self._leave:
            self.left_by = self.left_by or signal.Signals(number)
        else:
            self._signals += 1


def _heard(number: signal.Signals) -> bool:
    """Whether the signal is ours to take: under nohup the search outlives its terminal."""
    return number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
