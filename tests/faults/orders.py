"""Orders to a disturbed study's processes, which find them in a folder when they come to a point.

An order is for whichever process comes first to the point, and is carried out once. Imported at the
start of every such process: nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = "TOMOSTUDY_FAULTS"  # the environment variable that names the folder
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to happen where."""

    point: str  # such as "tell"
    side: str  # "before" or "after" it
    action: str  # a signal's name, "leave CODE", or "fill"
    rank: int | None = None  # whose process; None: any
    passes: int = 0  # how often a process comes there unharmed first


class Orders:
    """The folder of one study's orders, of which there is one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending = folder / "order.json"
        self._clock = folder / "clock"
        self.ballast = folder / "ballast"  # a link to the file that fills the disk

    def give(self, order: Order) -> None:
        partial = self._folder / "partial"
        partial.write_text(json.dumps(asdict(order)))
        partial.replace(self._pending)

    def pending(self) -> Order | None:
        try:
            return Order(**json.loads(self._pending.read_text()))
        except FileNotFoundError:
            return None

    def claim(self) -> bool:
        """Take the order; False where another process was faster."""
        try:
            self._pending.rename(self._folder / f"struck.{os.getpid()}")
        except FileNotFoundError:
            return False
        return True

    def wait(self, seconds: float, over: Callable[[], bool]) -> int | None:
        """By which process the order was carried out; None, and taken back, where by none.

        Args:
            seconds: that are waited at most.
            over: whether nobody is left to carry it out.
        """
        deadline = time.monotonic() + seconds
        while self._pending.exists() and time.monotonic() < deadline and not over():
            time.sleep(_LOOK_SECONDS)
        with contextlib.suppress(FileNotFoundError):
            self._pending.unlink()
            return None
        struck = next(self._folder.glob("struck.*"))
        struck.unlink()
        return int(struck.suffix[1:])

    @property
    def clock(self) -> float:
        """Seconds by which the system's clock has been set."""
        try:
            return float(self._clock.read_text())
        except FileNotFoundError:
            return 0.0

    def set_clock(self, seconds: float) -> None:
        partial = self._folder / "partial"
        partial.write_text(str(seconds))
        partial.replace(self._clock)
