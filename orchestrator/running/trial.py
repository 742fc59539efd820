"""One trial that holds a slot: its attempt, its events, and what the study has heard of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import optuna
from optuna.trial import FrozenTrial

from orchestrator.launcher.base import Attempt, Exit, Launcher
from orchestrator.running import memory_rule
from orchestrator.running.folds import step_and_value
from orchestrator.running.slots import Slot
from orchestrator.running.verdict import Verdict, judge
from orchestrator.steering.trials import reason_to_stop
from protocol.files import LineTail, write_text
from protocol.folders import TrialFolder
from protocol.messages import (
    Ending,
    Event,
    FoldFinished,
    Left,
    Plan,
    Stop,
    Validated,
    append_event,
    latest_plan,
    parse_event,
    save_plan,
)
from protocol.objective import Objective
from protocol.recipe import Recipe

_NO_END = (  # after which a trial would be tried again
    Ending.INTERRUPTED,
    Ending.MOVED,
    Ending.LOST,
    Ending.HUNG,
    Ending.MEMORY,
)
_LONGEST_LOOK_SECONDS = 10.0  # between two looks that count in full


@dataclass(kw_only=True)
class RunningTrial:
    """A trial of the study between its ask and its tell."""

    trial: optuna.Trial
    folder: TrialFolder
    objective: Objective
    recipe: Recipe | None  # None where its point is refused
    refusal: str = ""  # why it cannot be trained
    folds: int = 1
    told_by_fold: bool = False  # the pruner compares folds rather than epochs
    events: list[Event] = field(default_factory=list)  # of all attempts, in order
    stop: Stop | None = None  # what was asked of the present attempt
    rests: bool = False  # it stops for a pause, or for an orchestrator that went before it
    pruned_at: int | None = None  # the step at which it was decided that the trial ends
    attempt: Attempt | None = None
    number_of_attempt: int = -1
    micro_batch: int | None = None  # where the recipe's batch_size did not fit into memory
    slot: Slot | None = None
    ended_elsewhere: bool = False  # the study had it as ended before it was told
    _tail: LineTail = field(init=False)
    _seconds: float = 0.0  # of training, up to the last look at them
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._tail = LineTail(self.folder.events)
        recorded = self._recorded_stop()
        if recorded is Stop.PRUNED:  # at the step that was the last to be reported
            self.stop, self.pruned_at = recorded, self.frozen.last_step
        plan = latest_plan(self.folder)
        if plan is not None:
            self.number_of_attempt, self.micro_batch = plan.attempt, plan.micro_batch

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def frozen(self) -> FrozenTrial:
        """The trial as the study has it now: people may end it from the dashboard."""
        return self.trial.storage.get_trial(self.trial._trial_id)

    def launch(self, launcher: Launcher, slot: Slot, plan: Plan) -> None:
        """Write the plan, then start its attempt."""
        launcher.sweep(self.folder)
        self.folder.sweep()
        self.folder.stop.unlink(missing_ok=True)
        save_plan(self.folder, plan)
        self.stop, self.slot, self.number_of_attempt = None, slot, plan.attempt
        self.rests = False
        self._seconds, self._looked = trained_seconds(self.events), time.monotonic()
        self.attempt = launcher.launch(self.folder, plan)

    def take_up(self, attempt: Attempt, slot: Slot) -> None:
        """Follow an attempt on that an earlier orchestrator launched."""
        self.attempt, self.slot = attempt, slot
        self.stop = self._recorded_stop()
        self.rests = self.stop is Stop.INTERRUPT
        self._seconds, self._looked = trained_seconds(self.events), time.monotonic()

    def new_events(self) -> list[Event]:
        """What the ranks appended since the last look."""
        events = [e for line in self._tail.new_lines() if (e := parse_event(line)) is not None]
        self.events.extend(events)
        return events

    def take_less_memory(self) -> bool:
        """Let the next attempt run fewer samples at once; False where it was one already."""
        plan = latest_plan(self.folder)
        less = None if plan is None else memory_rule.smaller(plan)
        self.micro_batch = less or self.micro_batch
        return less is not None

    def attempt_events(self) -> list[Event]:
        """The events of the latest attempt."""
        return [event for event in self.events if event.attempt == self.number_of_attempt]

    def devices_of(self, rank: int) -> list[str]:
        """What that rank of the latest attempt used: one device, or under a device map all."""
        plan = latest_plan(self.folder)
        assert plan is not None, "there was an attempt"
        return plan.devices if plan.mapped else [plan.devices[rank]]

    def judged(self, exit: Exit | None) -> Verdict | None:
        """The verdict on the latest attempt, of which None is known where nobody saw its exit."""
        plan = latest_plan(self.folder)
        limited = plan is not None and memory_rule.limited(plan)
        verdict = judge(self.attempt_events(), exit, self.stop, limited=limited)
        if self.asked_to_end and (verdict is None or verdict.ending in _NO_END):
            return self.cancelled
        stacks = self.folder.stacks(self.number_of_attempt)
        if verdict is not None and verdict.ending is Ending.HUNG and stacks.exists():
            where = f"{verdict.reason}; {stacks.name} says where each of them stood"
            return replace(verdict, reason=where)
        return verdict

    def left(self, verdict: Verdict) -> None:
        """Write down when the latest attempt's processes were found gone, and why they went."""
        event = Left(attempt=self.number_of_attempt, ending=verdict.ending, reason=verdict.reason)
        with contextlib.suppress(OSError):  # of a full disk, which is told by what needs room
            append_event(self.folder.events, event)

    @property
    def asked_to_end(self) -> str:
        """Why somebody wants this trial to end; empty where nobody does."""
        return reason_to_stop(self.frozen)

    @property
    def cancelled(self) -> Verdict:
        """The verdict on a trial that ends because somebody wants it to."""
        return Verdict(ending=Ending.CANCELLED, reason=self.asked_to_end)

    def overdue(self, limit: float | None) -> bool:
        """Whether it has trained for longer than `limit` seconds; to be asked while it runs.

        Of a time in which nobody asked, as while all was suspended, only a little counts.
        """
        now = time.monotonic()
        if self.attempt is not None and not self.attempt.waits:
            self._seconds += min(now - self._looked, _LONGEST_LOOK_SECONDS)
        self._looked = now
        return limit is not None and self.stop is None and self._seconds > limit

    def request_stop(self, reason: Stop) -> None:
        """Ask the ranks to stop at their next step; a pruner's decision is never taken back."""
        if self.stop is not Stop.PRUNED:
            write_text(self.folder.stop, reason.value)
            self.stop = reason
            if self.attempt is not None:
                self.attempt.recall()

    def report(self, event: Event) -> int | None:
        """Tell the study of a validated epoch or of a finished fold, once; at which step."""
        found = self._step_and_value(event)
        if found is None:
            return None
        step, value = found
        if step not in self.frozen.intermediate_values:
            self.trial.report(value, step)
        return step

    def prune(self, step: int) -> None:
        """Ask the ranks to stop because of a decision at `step`, behind which nothing counts."""
        self.pruned_at = step
        self.request_stop(Stop.PRUNED)

    @property
    def record(self) -> list[Event]:
        """The events that count: those up to the decision to prune, where there was one."""
        if self.pruned_at is None:
            return self.events
        for index, event in enumerate(self.events):
            found = self._step_and_value(event)
            if found is not None and found[0] == self.pruned_at:
                return self.events[: index + 1]
        return self.events

    def is_done_with(self, event: Event) -> bool:
        """Whether nothing is left to train after an event, so that pruning saves nothing."""
        match event:
            case FoldFinished():
                return event.fold == self.folds - 1
            case Validated():
                # What version 0.1.0 told does not say whether it was the last.
                epochs = self.recipe.epochs if self.recipe else 0
                return event.last or (epochs is not None and event.epoch >= self.folds * epochs)
        return False

    def _step_and_value(self, event: Event) -> tuple[int, float] | None:
        return step_and_value(self.events, event, self.objective, by_fold=self.told_by_fold)

    def _recorded_stop(self) -> Stop | None:
        """What was asked of the attempt that an earlier orchestrator launched."""
        try:
            return Stop(self.folder.stop.read_text(errors="replace").strip())
        except (FileNotFoundError, ValueError):
            return None


def trained_seconds(events: Iterable[Event]) -> float:
    """How long the attempts took of which these are the events."""
    spans: dict[int, tuple[float, float]] = {}
    for event in events:
        first, _ = spans.get(event.attempt, (event.time, event.time))
        spans[event.attempt] = first, event.time
    return sum(max(0.0, last - first) for first, last in spans.values())
