"""What a preparation shows: how far it is, a bar or a line now and then, and what to type next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


class Display:
    """Says lines and shows how far the work is; use it as a context."""

    def __init__(self, console: Console | None = None, things: str = "images") -> None:
        self._things = things
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        # Names of files may hold bytes that no terminal can be given.
        self._console.print(text.encode(errors="backslashreplace").decode(), markup=False)

    def step(self, done: int, total: int) -> None:
        """Show that `done` of `total` things are there."""
        if self._console.is_terminal:
            self._move_bar(done, total)
        elif time.monotonic() >= self._next_line or done == total:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            self.say(f"{done} of {total} {self._things}")

    def _move_bar(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
            self._bar.add_task(self._things, total=total)
        self._bar.update(self._bar.task_ids[0], completed=done)


def next_command(out: Path, preset: str = "fbp_window", *also: str) -> str:
    """What to type next, for people.

    Args:
        out: the data set.
        preset: a study's that reads it.
        also: further settings, as in `data.mode=t1`.
    """
    settings = [f"data.root={out}", *(setting.replace(" ", "") for setting in also)]
    words = " ".join(f"--set {setting}" for setting in settings)
    command = f"./run_study.sh --study_name NAME --preset {preset} {words}"
    return f"Wrote {out}. To search on it:\n  {command}"
