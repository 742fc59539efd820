"""How long a study has been searched, over all its runs."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from protocol.files import write_json

_SAVE_SECONDS = 10.0  # what a power cut may lose of the count


class Clock:
    """Counts on from what earlier runs wrote down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = self._saved = time.monotonic()
        self._earlier = self._device_seconds = 0.0
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            told = json.loads(path.read_text())
            self._earlier = float(told["seconds"])
            self._device_seconds = float(told["device_seconds"])
        self._counted = self._earlier

    @property
    def seconds(self) -> float:
        return self._earlier + time.monotonic() - self._start

    def hold(self, devices: int) -> None:
        """So many devices have been the study's since the last call."""
        seconds = self.seconds
        self._device_seconds += devices * (seconds - self._counted)
        self._counted = seconds

    def leave_out(self, seconds: float) -> None:
        """Do not count what has just passed, in which the study was paused."""
        self._start += seconds

    def save(self, *, now: bool = False) -> None:
        """Write the count down, every few seconds or at once."""
        if now or time.monotonic() - self._saved > _SAVE_SECONDS:
            counts = {"seconds": self.seconds, "device_seconds": self._device_seconds}
            write_json(self._path, {name: round(count, 3) for name, count in counts.items()})
            self._saved = time.monotonic()
