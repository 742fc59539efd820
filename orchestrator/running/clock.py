"""How long a study has been searched, over all its runs."""

from __future__ import annotations

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
        try:
            self._earlier = float(json.loads(path.read_text())["seconds"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            self._earlier = 0.0

    @property
    def seconds(self) -> float:
        return self._earlier + time.monotonic() - self._start

    def leave_out(self, seconds: float) -> None:
        """Do not count what has just passed, in which the study was paused."""
        self._start += seconds

    def save(self, *, now: bool = False) -> None:
        """Write the count down, every few seconds or at once."""
        if now or time.monotonic() - self._saved > _SAVE_SECONDS:
            write_json(self._path, {"seconds": round(self.seconds, 3)})
            self._saved = time.monotonic()
