"""What the running study looks like at this moment, and how long it may still take.

Fed with the same calls as a display; knows nothing of terminals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator import words
from orchestrator.launcher.gpus import Gpus
from orchestrator.ledger.account import GIB
from orchestrator.ledger.forecast import Forecast, Past, Present, forecast
from orchestrator.ledger.outlook import loss_of
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
    gpus: Gpus | None = None
    earlier: float = 0.0  # seconds that attempts before this one took
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
    _starts: bool = False  # the next epoch has the start of a script in it
    _with_start: bool = False  # so has the only one whose seconds are known
    _epoch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=3))

    def apply(self, event: Event, objective: Objective, now: float) -> None:
        """Take in what the trial says; an earlier attempt's events restore what it reached."""
        replayed = event.attempt < self.attempt
        match event:
            case Started():
                self.epochs, self.steps_per_epoch = event.epochs, event.steps_per_epoch
                self.step = event.resumed_step
                self._first = (now, event.resumed_step)
                self._starts = event.of_script
            case Progressed():
                self.step = event.step
            case Validated():
                self._validated(event, objective)
            case _:
                pass
        self._latest = now
        if not replayed and self.state not in _STOPPING.values():
            self.state = _state_after(event, self.state)

    @property
    def device_count(self) -> int:
        """GPUs; a CPU's slot counts as one."""
        return sum(device != "cpu" for device in self.devices) or 1

    @property
    def gpu_use(self) -> str:
        """`87 % 10.2/80 GiB` of its GPUs together; empty where nothing is known of one."""
        uses = [self.gpus.use(device) for device in self.devices] if self.gpus else []
        known = [use for use in uses if use is not None]
        if not known or len(known) < len(uses):
            return ""
        busy = sum(use.busy for use in known) / len(known)
        used, total = (sum(getattr(use, name) for use in known) for name in ("used", "total"))
        return f"{100 * busy:.0f} % {words.number(round(used / GIB, 1))}/{total / GIB:.0f} GiB"

    def placed(self, place: str) -> bool:
        """It is there now; whether that is news, beyond the time that is left."""
        before, self.place = self.place, place
        return place.partition(",")[0] != before.partition(",")[0]

    def _validated(self, event: Validated, objective: Objective) -> None:
        self.epoch, self.step = event.epoch, event.step
        self._keep_seconds(event.seconds)
        self.value = event.metrics.get(objective.metric)
        if self.value is not None and objective.better(self.value, self.best):
            self.best, self.best_epoch = self.value, event.epoch

    def _keep_seconds(self, seconds: float) -> None:
        """Those of a script's first epoch, which has its start in it, until there are others."""
        starts, self._starts = self._starts, False
        if starts and self._epoch_seconds:
            return
        if self._with_start:
            self._epoch_seconds.clear()
        self._epoch_seconds.append(seconds)
        self._with_start = starts

    def stop_asked(self, reason: Stop) -> None:
        """The trial will end at its next step."""
        self.state = _STOPPING[reason]

    def seconds(self, now: float) -> float:
        """In which it has been there, over all attempts."""
        return self.earlier + now - self.since

    def past(self, epoch: int, now: float, loss: float | None = None) -> Past:
        """What it was, now that it has ended behind an epoch."""
        fraction = min(1.0, epoch / self.epochs) if self.epochs else 0.0
        seconds = self.seconds(now)
        return Past(seconds=seconds, fraction=fraction, params=self.params, loss=loss)

    def present(self, now: float) -> Present:
        """What it is; of its pace nothing is said before it has come to an epoch's end."""
        left = self.seconds_left(now) if self._epoch_seconds else None
        return Present(seconds=self.seconds(now), left=left, params=self.params)

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
    lanes: int = 1  # trials at a time
    prunes: bool = False
    gpus: Gpus | None = None  # what is known of their use
    failed: int = 0
    pruned: int = 0
    device_seconds: float = 0.0  # that its trials used before those that run now
    past: list[Past] = field(default_factory=list)
    running: dict[int, TrialProgress] = field(default_factory=dict)
    _busy: float = 0.0  # seconds of attempts that have ended since this process opened the study
    _ended: int = 0  # of them
    _told: tuple[float, Forecast | None] | None = None  # when it was made; None: again

    def start(self, trial: TrialProgress) -> None:
        """A trial was launched, for the first time or again."""
        before = self.running.get(trial.number)
        trial.state = "resuming" if trial.attempt or before else "starting"
        trial.gpus = self.gpus
        self.running[trial.number] = trial
        self.heard()

    def heard(self) -> None:
        """Something has happened that changes what is to be expected."""
        self._told = None

    def end(self, number: int, outcome: Outcome, state: State, now: float) -> None:
        """A trial ended; one that is to go on later does not count as finished."""
        self.heard()
        trial = self.running.pop(number, None)
        if trial is not None:
            self._busy += now - trial.since
            self._ended += 1
            self.device_seconds += (now - trial.since) * trial.device_count
        if state == "running":
            return
        self.finished += 1
        self.failed += state == "failed"
        self.pruned += state == "pruned"
        value = outcome.value
        if trial is not None:
            loss = loss_of(value, state, self.objective.direction)
            self.past.append(trial.past(outcome.epoch, now, loss))
        if state == "complete" and value is not None and self.objective.better(value, self.best):
            self.best, self.best_trial = value, number

    def device_hours(self, now: float) -> float:
        """Used so far, those of an earlier process included."""
        running = sum((now - t.since) * t.device_count for t in self.running.values())
        return (self.device_seconds + running) / 3600.0

    def left(self, now: float) -> Forecast | None:
        """Until the study's last trial has ended; None where that is not known yet."""
        if self._told is None:
            self._told = now, self._forecast(now)
        made, found = self._told
        if found is not None:
            found = found.later(now - made)
        if self.timeout is None:
            return found
        bound = self.timeout - (now - self.since)
        return found.within(bound) if found else Forecast(seconds=bound, low=0.0, high=bound)

    def _forecast(self, now: float) -> Forecast | None:
        return forecast(
            self.past,
            [trial.present(now) for trial in self.running.values()],
            waiting=max(0, self.total - self.finished - len(self.running)),
            lanes=self.lanes,
            prunes=self.prunes,
            gap=self._gap(now),
        )

    def _gap(self, now: float) -> float:
        """Seconds between two trials of a lane; no more than a trial takes, such as in a pause."""
        if self._ended < self.lanes:
            return 0.0
        running = sum(now - trial.since for trial in self.running.values())
        empty = self.lanes * (now - self.since) - self._busy - running
        return max(0.0, min(empty, self._busy) / self._ended)
