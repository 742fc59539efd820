"""Progress on a terminal: a row for every running trial, finished ones scrolling by above."""

from __future__ import annotations

import atexit
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator import words
from orchestrator.live import sentences
from orchestrator.live.display import Display
from orchestrator.live.progress import StudyProgress, TrialProgress
from orchestrator.reporting.screen import plain_table
from orchestrator.study.record import State
from protocol.messages import Outcome

_COLOURS: dict[State, str] = {"complete": "green", "pruned": "yellow", "failed": "red"}


class TerminalDisplay(Display):
    """A live area at the bottom of the screen, redrawn once a second and after every call."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console
        self._live = _Live(
            console=console, get_renderable=self._area, refresh_per_second=1, transient=True
        )
        atexit.register(self.close)

    def notice(self, sentence: str) -> None:
        self._say(Text(sentence, style="bold yellow"))

    def close(self) -> None:
        """Take the live area away; what scrolled by stays."""
        atexit.unregister(self.close)
        with contextlib.suppress(OSError):
            self._live.stop()

    def _opened(self, study: StudyProgress) -> None:
        self._say(Text(sentences.opening(study), style="bold"))
        with contextlib.suppress(OSError):
            self._live.start(refresh=True)
            # rich hides the cursor, and after a kill -9 nobody would bring it back.
            self._console.show_cursor(True)

    def _placed(self, trial: TrialProgress) -> None:
        """It stands in the trial's row."""

    def _started(self, trial: TrialProgress) -> None:
        self._live.refresh()

    def _validated(self, trial: TrialProgress) -> None:
        self._live.refresh()

    def _ended(self, number: int, outcome: Outcome, state: State) -> None:
        line = sentences.ending(number, outcome, state, self._study.objective.metric)
        self._say(Text(line, style=_COLOURS.get(state, "")))

    def _say(self, text: Text) -> None:
        with contextlib.suppress(OSError):
            # Soft: a long reason stays one line for the terminal, also after a resize.
            self._console.print(text, soft_wrap=True)

    def _area(self) -> RenderableType:
        with self._lock:
            if self._progress is None:
                return ""
            return live_area(self._progress, self._clock(), self._console.width)


class _Live(Live):
    """A live area whose terminal may go away without ending the study."""

    def refresh(self) -> None:
        with contextlib.suppress(OSError):
            super().refresh()


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[TrialProgress, float], str]
    from_width: int = 0  # narrower terminals go without
    justify: Literal["left", "right"] = "left"
    ratio: int | None = None  # takes what the others leave, and is cut where that is too little


def _left(trial: TrialProgress, now: float) -> str:
    left = trial.seconds_left(now)
    return "" if left is None else words.duration(left)


def _epoch(trial: TrialProgress, _: float) -> str:
    return f"{trial.epoch}/{trial.epochs}" if trial.epochs else ""


_COLUMNS = (
    _Column("trial", lambda trial, _: str(trial.number), justify="right"),
    _Column("", lambda trial, _: trial.state, from_width=30),
    _Column("epoch", _epoch, justify="right"),
    _Column("now", lambda trial, _: _value(trial.value), justify="right"),
    _Column("best", lambda trial, _: _value(trial.best), from_width=50, justify="right"),
    _Column("left", _left, from_width=62, justify="right"),
    _Column("GPU", lambda trial, _: trial.gpu_use, from_width=90),
    _Column("", lambda trial, _: _where_and_what(trial), from_width=80, ratio=1),
)


def _where_and_what(trial: TrialProgress) -> str:
    return "  ".join(part for part in (trial.place, words.settings(trial.params)) if part)


def _value(value: float | None) -> str:
    return "" if value is None else words.number(value)


def live_area(study: StudyProgress, now: float, width: int) -> RenderableType:
    """The study's line and the running trials' rows, none wider than `width`."""
    line = Text(f"{study.name}  ", style="bold", no_wrap=True, overflow="ellipsis")
    line.append(sentences.standing(study, now), style="not bold")
    if not study.running:
        return line
    columns = [column for column in _COLUMNS if column.from_width <= width]
    if not any(trial.gpu_use for trial in study.running.values()):
        columns = [column for column in columns if column.title != "GPU"]
    cut = any(column.ratio for column in columns)
    table = plain_table(expand=cut)
    for column in columns:
        title = study.objective.metric if column.title == "now" else column.title
        table.add_column(
            title, justify=column.justify, ratio=column.ratio, no_wrap=True, overflow="ellipsis"
        )
    for _, trial in sorted(study.running.items()):
        # As Text: a parameter's value may hold square brackets, which rich would take for markup.
        table.add_row(*(Text(column.cell(trial, now)) for column in columns))
    return Group(line, table)
