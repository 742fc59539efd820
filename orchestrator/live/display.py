"""What a running study tells its user, whatever shows it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any

from orchestrator.live.progress import StudyProgress, TrialProgress
from orchestrator.study.record import State
from protocol.messages import Event, Outcome, Started, Stop, Validated
from protocol.objective import Direction, Objective


class Display(ABC):
    """Told by the runner what happens; shows it, and never fails for want of a reader.

    It keeps the study's progress; each kind of display shows it in its own way in the hooks below.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Held only while the progress changes, never while something is shown: a display's own
        # refreshing thread takes its lock first and this one second.
        self._lock = RLock()
        self._progress: StudyProgress | None = None

    def study_opened(
        self,
        name: str,
        total: int,
        finished: int,
        direction: Direction,
        metric: str,
        *,
        best: tuple[int, float] | None = None,
        timeout: float | None = None,
        **known: Any,
    ) -> None:
        """The study is open: `finished` of `total` trials are done, `best` is (trial, value).

        `timeout` is what this run may still take in seconds, `known` what else `StudyProgress` has.
        """
        progress = StudyProgress(
            name=name,
            total=total,
            finished=finished,
            objective=Objective(metric=metric, direction=direction),
            since=self._clock(),
            timeout=timeout,
            **known,
        )
        if best is not None:
            progress.best_trial, progress.best = best
        with self._lock:
            self._progress = progress
        self._opened(progress)

    def study_changed(
        self, total: int, best: tuple[int, float] | None, timeout: float | None
    ) -> None:
        """The study is to have so many trials; `best` is (trial, value) of those that count.

        `timeout` is what this run may still take in seconds.
        """
        with self._lock:
            passed = self._clock() - self._study.since
            self._study.timeout = None if timeout is None else timeout + passed
            self._study.total = total
            self._study.best_trial, self._study.best = best or (None, None)

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        attempt: int,
        devices: Sequence[str],
        before: Sequence[Event] = (),
        earlier: float = 0.0,
    ) -> None:
        """An attempt was launched; above 0 the trial goes on from its checkpoint.

        Args:
            number: of the trial.
            params: of it.
            attempt: its number.
            devices: that it has.
            before: what earlier attempts said.
            earlier: seconds that they took.
        """
        now = self._clock()
        trial = TrialProgress(number, params, attempt, devices, since=now, earlier=earlier)
        with self._lock:
            self._study.start(trial)
            for event in before:
                trial.apply(event, self._study.objective, now)
        self._started(trial)

    def trial_placed(self, number: int, place: str) -> None:
        """Where the trial runs or what it waits for, at every look; empty: on this machine."""
        with self._lock:
            trial = self._study.running.get(number)
            news = trial is not None and trial.placed(place)
        if trial is not None and news:
            self._placed(trial)

    def event(self, number: int, event: Event) -> None:
        """The trial says something; events of earlier attempts may come again."""
        with self._lock:
            trial = self._study.running.get(number)
            if trial is not None:
                trial.apply(event, self._study.objective, self._clock())
                if isinstance(event, Started | Validated):
                    self._study.heard()
        if trial is not None and isinstance(event, Validated) and event.attempt >= trial.attempt:
            self._validated(trial)

    def trial_stopping(self, number: int, reason: Stop) -> None:
        """The trial was asked to stop at its next step."""
        with self._lock:
            trial = self._study.running.get(number)
            if trial is not None:
                trial.stop_asked(reason)

    def trial_ended(self, number: int, outcome: Outcome, state: State) -> None:
        """The attempt ended; the state "running" means that the trial goes on another time."""
        with self._lock:
            self._study.end(number, outcome, state, self._clock())
        self._ended(number, outcome, state)

    @property
    def _study(self) -> StudyProgress:
        assert self._progress is not None, "study_opened comes first"
        return self._progress

    @abstractmethod
    def notice(self, sentence: str) -> None:
        """Something the user should know."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more follows. May be called twice."""

    @abstractmethod
    def _opened(self, study: StudyProgress) -> None: ...

    @abstractmethod
    def _started(self, trial: TrialProgress) -> None: ...

    @abstractmethod
    def _placed(self, trial: TrialProgress) -> None: ...

    @abstractmethod
    def _validated(self, trial: TrialProgress) -> None: ...

    @abstractmethod
    def _ended(self, number: int, outcome: Outcome, state: State) -> None: ...
