"""What the running study looks like at this moment, and how long it may still take.

Fed with the same calls as a display; knows nothing of terminals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.study.record import State
from protocol.messages import (
    Event,
    Finished,
    NonFinite,
    Outcome,
    Progressed,
    Started,
    Stop,
    Stopped,
    Validated,
)
from protocol.objective import Objective

_STOPPING = {
    Stop.PRUNED: "pruning",
    Stop.INTERRUPT: "stopping",
    Stop.TIMEOUT: "over its time",
    Stop.EXPIRED: "leaving its job",
    Stop.DISPLACED: "leaving its job",
}


@dataclass
class TrialProgress:
    """One trial that has been launched and has not ended."""

    number: int
    params: Mapping[str, Any]
    attempt: int
    devices: Sequence[str]
    since: float  # when it was launched, on the clock of the caller
    state: str = "starting"
    place: str = ""  # on a cluster: what it waits for, or where it runs
    epochs: int = 0
    steps_per_epoch: int = 0
    epoch: int = 0  # the last validated one
    step: int = 0
    value: float | None = None  # the objective at that epoch
    best: float | None = None
    best_epoch: int = 0
    _first: tuple[float, int] = (0.0, 0)  # when training began in this attempt, and its step
    _latest: float = 0.0  # when `step` was heard of
    _epoch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=3))

    def apply(self, event: Event, objective: Objective, now: float) -> None:
        """Take in what the trial says; an earlier attempt's events restore what it reached."""
        replayed = event.attempt < self.attempt
        match event:
            case Started():
                self.epochs, self.steps_per_epoch = event.epochs, event.steps_per_epoch
                self.step = event.resumed_step
                self._first = (now, event.resumed_step)
            case Progressed():
                self.step = event.step
            case Validated():
                self._validated(event, objective)
            case _:
                pass
        self._latest = now
        if not replayed and self.state not in _STOPPING.values():
            self.state = _state_after(event, self.state)

    def placed(self, place: str) -> bool:
        """It is there now; whether that is news, beyond the time that is left."""
        before, self.place = self.place, place
        return place.partition(",")[0] != before.partition(",")[0]

    def _validated(self, event: Validated, objective: Objective) -> None:
        self.epoch, self.step = event.epoch, event.step
        self._epoch_seconds.append(event.seconds)
        self.value = event.metrics.get(objective.metric)
        if self.value is not None and objective.better(self.value, self.best):
            self.best, self.best_epoch = self.value, event.epoch

    def stop_asked(self, reason: Stop) -> None:
        """The trial will end at its next step."""
        self.state = _STOPPING[reason]

    def seconds_left(self, now: float) -> float | None:
        """Until all epochs are done; None before there is anything to judge by."""
        pace = self._seconds_per_step()
        if pace is None:
            return None
        steps = self.epochs * self.steps_per_epoch - self.step
        return max(0.0, steps * pace - (now - self._latest))

    def _seconds_per_step(self) -> float | None:
        if not self.steps_per_epoch:
            return None
        if self._epoch_seconds:
            mean = sum(self._epoch_seconds) / len(self._epoch_seconds)
            return mean / self.steps_per_epoch
        began, first = self._first
        return (self._latest - began) / (self.step - first) if self.step > first else None


def _state_after(event: Event, before: str) -> str:
    match event:
        case Started() | Progressed() | Validated():
            return "training"
        case Stopped() | Finished() | NonFinite():
            return "ending"
    return before


@dataclass
class StudyProgress:
    """The study since this process opened it."""

    name: str
    total: int
    finished: int
    objective: Objective
    since: float
    timeout: float | None = None  # seconds it may take from `since`
    best: float | None = None
    best_trial: int | None = None
    running: dict[int, TrialProgress] = field(default_factory=dict)
    _durations: list[float] = field(default_factory=list)
    _lanes: int = 1  # the most trials that ran at once

    def start(self, trial: TrialProgress) -> None:
        """A trial was launched, for the first time or again."""
        before = self.running.get(trial.number)
        trial.state = "resuming" if trial.attempt or before else "starting"
        self.running[trial.number] = trial
        self._lanes = max(self._lanes, len(self.running))

    def end(self, number: int, outcome: Outcome, state: State, now: float) -> None:
        """A trial ended; one that is to go on later does not count as finished."""
        trial = self.running.pop(number, None)
        if state == "running":
            return
        self.finished += 1
        if trial is not None:
            self._durations.append(now - trial.since)
        value = outcome.value
        if state == "complete" and value is not None and self.objective.better(value, self.best):
            self.best, self.best_trial = value, number

    def seconds_left(self, now: float) -> float | None:
        """Until the study's last trial has ended; None before there is anything to judge by."""
        typical = self._typical_seconds(now)
        if typical is None:
            return None
        lefts = [self._left(trial, typical, now) for trial in self.running.values()]
        waiting = max(0, self.total - self.finished - len(self.running))
        work = sum(lefts) + waiting * typical
        estimate = max([work / self._lanes, *lefts])
        if self.timeout is None:
            return estimate
        return max(0.0, min(estimate, self.timeout - (now - self.since)))

    def _left(self, trial: TrialProgress, typical: float, now: float) -> float:
        left = trial.seconds_left(now)
        return max(0.0, typical - (now - trial.since)) if left is None else left

    def _typical_seconds(self, now: float) -> float | None:
        known = self._durations or [
            now - trial.since + left
            for trial in self.running.values()
            if (left := trial.seconds_left(now)) is not None
        ]
        return sum(known) / len(known) if known else None
