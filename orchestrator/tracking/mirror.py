"""Follows the trials' folders and tells a sink for each what is new in them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from orchestrator.tracking.state import Told, ToldState
from protocol.files import LineTail
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Event, Outcome, Plan, latest_plan, load_outcome, parse_event

log = logging.getLogger(__name__)


class Sink(Protocol):
    """One trial's run, wherever it is kept."""

    def planned(self, plan: Plan) -> None:
        """An attempt begins."""

    def event(self, event: Event) -> None:
        """The trial says something."""

    def ended(self, outcome: Outcome) -> None:
        """The trial has ended."""

    def close(self) -> None:
        """Nothing more follows for now; may take long without a network."""


OpenSink = Callable[[TrialFolder, Plan], Sink]


class Mirror:
    """Looks at every trial that has not been told to its end."""

    def __init__(self, study: StudyFolder, state: ToldState, open_sink: OpenSink) -> None:
        self._study = study
        self._state = state
        self._open_sink = open_sink
        self._followed: dict[int, _Followed] = {}
        self._left_alone: set[int] = set()  # whose sink failed in this session

    def look(self) -> None:
        """Tell everything that is new."""
        for folder in self._study.trials():
            number = folder.number
            if number in self._left_alone or self._state.of(number).ended:
                continue
            try:
                self._followed.setdefault(
                    number, _Followed(folder, self._state.of(number), self._open_sink)
                ).look()
            except Exception:
                log.exception("trial %d is not tracked any further in this session", number)
                self._left_alone.add(number)
        self._state.save()

    def close(self, seconds: float) -> None:
        """Tell what is left, and close every run, for so many seconds at most."""
        self.look()
        open_ones = [t for n, t in self._followed.items() if n not in self._left_alone]
        closings = [closing for trial in open_ones if (closing := trial.start_closing())]
        for closing in closings:
            closing.join(seconds / len(closings))
        self._state.save()


class _Followed:
    """One trial."""

    def __init__(self, folder: TrialFolder, told: Told, open_sink: OpenSink) -> None:
        self._folder = folder
        self._told = told
        self._open_sink = open_sink
        self._tail = LineTail(folder.events)
        self._skip = told.events
        self._sink: Sink | None = None
        self._attempt = -1
        self._outcome: Outcome | None = None
        self._closing: threading.Thread | None = None

    def look(self) -> None:
        if self._closing is not None or not self._folder.plan.exists():
            return
        # The outcome first: all of the trial's events stood in its file before it was written.
        outcome = load_outcome(self._folder.outcome)
        lines = self._new_lines()
        if not lines and outcome is None:
            return
        sink = self._current_sink()
        for line in lines:
            event = parse_event(line)
            if event is not None:
                sink.event(event)
            self._told.events += 1
        if outcome is not None:
            sink.ended(outcome)
            self._outcome = outcome
            self.start_closing()

    def _new_lines(self) -> list[str]:
        lines = self._tail.new_lines()
        skipped = min(self._skip, len(lines))
        self._skip -= skipped
        return lines[skipped:]

    def _current_sink(self) -> Sink:
        plan = latest_plan(self._folder)
        assert plan is not None, "looked for, and never removed"
        if self._sink is None:
            self._sink = self._open_sink(self._folder, plan)
        if plan.attempt != self._attempt:
            self._attempt = plan.attempt
            self._sink.planned(plan)
        return self._sink

    def start_closing(self) -> threading.Thread | None:
        """Close the run in a thread of its own: other trials must not wait for a slow network."""
        if self._closing is None and self._sink is not None:
            self._closing = threading.Thread(target=self._close, args=(self._sink,), daemon=True)
            self._closing.start()
        return self._closing

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except Exception:
            log.exception("the run of trial %d could not be closed", self._folder.number)
            return
        # Only now: a run that was cut off before is told its end again next time.
        self._told.ended = self._outcome is not None
