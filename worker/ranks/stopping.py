"""The orchestrator's request to stop, which rank 0 looks for and all ranks then agree on."""

from __future__ import annotations

import time
from pathlib import Path

from protocol.files import read_fresh
from protocol.messages import Stop

LOOK_SECONDS = 0.2  # between two looks at the file system


class StopAgreed(Exception):
    """All ranks know of the request; `last.pth` holds the state."""


class StopRequest:
    """Looks for the request's file, not more often than makes sense."""

    def __init__(self, path: Path, *, looks: bool) -> None:
        self.reason = Stop.INTERRUPT
        self._path = path
        self._looks = looks  # rank 0 alone does
        self._found = False
        self._next_look = 0.0

    def requested(self) -> bool:
        """Whether this rank has seen the request."""
        now = time.monotonic()
        if self._looks and not self._found and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look()
        return self._found

    def _look(self) -> None:
        text = read_fresh(self._path)
        if text is not None:
            self._found = True
            self.reason = Stop(text.strip()) if text.strip() in set(Stop) else Stop.INTERRUPT
