"""The search itself: one loop that starts trials, follows their events and settles their ends.

One trial's way: take a free slot, ask, write the plan, launch, tail the events, report, perhaps
ask for a stop, judge, write the outcome, tell, free the slot. A kill between any two of these
leaves a state from which `Runner` goes on: RUNNING trials with or without a plan, events not yet
reported, an outcome not yet told.
"""

from __future__ import annotations

import logging
import select
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from orchestrator.launcher.base import Exit, Launcher
from orchestrator.live import Display
from orchestrator.proposing.ask import TrialSource
from orchestrator.running.clock import Clock
from orchestrator.running.interrupts import Interrupts
from orchestrator.running.settle import STATES, make_outcome, settle
from orchestrator.running.slots import Slot
from orchestrator.running.trial import RunningTrial, make_plan
from orchestrator.running.verdict import Verdict
from orchestrator.settings.schema import Settings
from orchestrator.study.ranking import best_trial, point_to_best
from protocol.errors import UserError
from protocol.folders import StudyFolder
from protocol.messages import Ending, Failed, Outcome, Plan, Stop, load_outcome

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2  # between looks at the events of running trials


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a run of the study works with."""

    folder: StudyFolder
    name: str  # what displays and plans call the study
    settings: Settings
    study: optuna.Study
    source: TrialSource
    launcher: Launcher
    display: Display
    slots: list[Slot]
    total: int  # trials of the whole study
    describe: Callable[[optuna.Trial], Mapping[str, Any]]  # what displays show of a trial
    tidy: Callable[[], None]  # after every trial: removes the checkpoints that are not kept


class Runner:
    """Runs a study until its budget is spent or it is interrupted."""

    def __init__(self, search: Search, interrupts: Interrupts, clock: Clock) -> None:
        self._search = search
        self._interrupts = interrupts
        self._clock = clock
        self._free = list(search.slots)
        self._waiting: deque[RunningTrial] = deque()  # to be resumed before anything new
        self._running: list[RunningTrial] = []
        self._politely_stopped = self._killed = False
        self._trouble: UserError | None = None

    def run(self) -> None:
        """Search until done or interrupted.

        Raises:
            UserError: a trial met something only the user can mend; every trial can be resumed.
        """
        self._take_up_unfinished()
        while True:
            self._follow_interrupts()
            self._start_what_fits()
            if not self._running:
                break
            self._wait()
            for running in list(self._running):
                self._follow(running)
            self._clock.save()
        self._clock.save(now=True)
        if self._trouble is not None:
            raise self._trouble

    @property
    def interrupted(self) -> bool:
        return self._interrupts.count > 0

    @property
    def budget_spent(self) -> bool:
        """Whether the study's number of trials, or its time, is used up."""
        return self._left() <= 0 or self._time_is_up()

    # ------------------------------------------------------------------ taking up and starting

    def _take_up_unfinished(self) -> None:
        """Find every trial that an earlier run left unfinished, and how far each had come."""
        states = (TrialState.RUNNING,)
        unfinished = self._search.study.get_trials(deepcopy=False, states=states)
        # Half-asked trials come first: they must be proposed from the history they first saw.
        unfinished.sort(key=lambda t: self._search.folder.trial(t.number).plan.exists())
        taken_up = []
        for frozen in unfinished:
            trial, recipe = self._search.source.attach(frozen)
            taken_up.append(self._running_trial(trial, recipe))
        for running in sorted(taken_up, key=lambda r: r.number):
            self._search.launcher.sweep(running.folder)
            self._take_up(running)

    def _take_up(self, running: RunningTrial) -> None:
        outcome = load_outcome(running.folder.outcome)
        self._report(running)
        if outcome is not None:
            self._end(running, outcome)
            return
        verdict = running.judged(None)
        if verdict is None or verdict.ending is Ending.INTERRUPTED or _fits_yet(running, verdict):
            self._waiting.append(running)
        else:
            self._end(running, make_outcome(running, verdict))

    def _running_trial(self, trial: optuna.Trial, recipe: dict[str, Any]) -> RunningTrial:
        return RunningTrial(
            trial=trial,
            folder=self._search.folder.trial(trial.number),
            objective=self._search.settings.objective,
            recipe=recipe,
            folds=self._search.settings.folds,
            told_by_fold=self._search.settings.pruner.kind == "wilcoxon",
        )

    def _start_what_fits(self) -> None:
        while self._free and not self._politely_stopped and self._trouble is None:
            if self._waiting:
                running = self._waiting.popleft()
            elif self._left() > 0 and not self._time_is_up():
                running = self._running_trial(*self._search.source.ask())
            else:
                return
            self._launch(running, self._free.pop(0))
            self._follow_interrupts()

    def _launch(self, running: RunningTrial, slot: Slot) -> None:
        running.launch(self._search.launcher, slot, self._plan(running, slot))
        self._running.append(running)
        log.info("trial %d: attempt %d launched", running.number, running.number_of_attempt)
        self._search.display.trial_started(
            running.number,
            self._search.describe(running.trial),
            running.number_of_attempt,
            slot.devices,
        )

    def _plan(self, running: RunningTrial, slot: Slot) -> Plan:
        source = self._search.source
        return make_plan(
            self._search.settings,
            slot,
            study=self._search.name,
            trial=running.number,
            attempt=running.number_of_attempt + 1,
            seed=source.trial_seed(running.number),
            recipe=running.recipe,
            searched=sorted(running.trial.params),
            micro_batch=running.micro_batch,
        )

    def _left(self) -> int:
        """How many new trials the budget allows."""
        trials = self._search.study.get_trials(deepcopy=False)
        begun = sum(trial.state != TrialState.WAITING for trial in trials)
        return self._search.total - begun

    def _time_is_up(self) -> bool:
        timeout = self._search.settings.timeout
        return timeout is not None and self._clock.seconds >= timeout

    # ------------------------------------------------------------------ following

    def _wait(self) -> None:
        """Until a group has gone, a signal has come, or it is time for a look at the events."""
        attempts = [running.attempt.fileno() for running in self._running if running.attempt]
        select.select([*attempts, self._interrupts.fileno()], [], [], _LOOK_SECONDS)
        self._interrupts.drain()

    def _follow(self, running: RunningTrial) -> None:
        assert running.attempt is not None
        exit = running.attempt.poll()  # first, so that the events read below are all there are
        self._report(running)
        if exit is not None:
            self._running.remove(running)
            assert running.slot is not None
            self._free.append(running.slot)
            self._conclude(running, exit)

    def _report(self, running: RunningTrial) -> None:
        """Pass new events on; those behind a decision to prune are no part of the record."""
        for event in running.new_events():
            self._search.display.event(running.number, event)
            if running.stop is Stop.PRUNED:
                continue
            if running.report(event) and running.trial.should_prune():
                self._request_stop(running, Stop.PRUNED)

    def _conclude(self, running: RunningTrial, exit: Exit) -> None:
        self._search.launcher.sweep(running.folder)
        running.folder.rendezvous(running.number_of_attempt).unlink(missing_ok=True)
        verdict = running.judged(exit)
        if verdict is None:
            verdict = Verdict(ending=Ending.LOST, reason="the processes went away without a word")
        log.info("trial %d: %s, %s", running.number, verdict.ending, verdict.reason)
        if verdict.ending is Ending.INTERRUPTED or self._killed:
            self._set_aside(running, verdict)
        elif self._goes_on(running, verdict):
            self._set_aside(running, verdict)
            self._waiting.append(running)
        else:
            self._end(running, make_outcome(running, verdict))

    def _set_aside(self, running: RunningTrial, verdict: Verdict) -> None:
        """The trial stays in the study as running, to go on from its last checkpoint."""
        self._search.display.trial_ended(running.number, make_outcome(running, verdict), "running")
        event = verdict.event
        if isinstance(event, Failed) and event.user_error and self._trouble is None:
            self._trouble = UserError(f"trial {running.number}: {event.message}")
            self._stop_all(Stop.INTERRUPT)

    def _goes_on(self, running: RunningTrial, verdict: Verdict) -> bool:
        """Whether another attempt follows at once."""
        if verdict.ending in (Ending.LOST, Ending.HUNG):
            return self._may_relaunch(running, verdict)
        return _fits_yet(running, verdict)

    def _may_relaunch(self, running: RunningTrial, verdict: Verdict) -> bool:
        losses = int(running.trial.user_attrs.get("losses", 0)) + 1
        most = self._search.settings.limits.relaunches
        running.trial.set_user_attr("losses", losses)
        self._search.display.notice(
            f"trial {running.number}: {verdict.reason}; "
            + ("it is resumed" if losses <= most else f"it was resumed {most} times, and no more")
        )
        return losses <= most

    def _end(self, running: RunningTrial, outcome: Outcome) -> None:
        search = self._search
        settle(search.study, search.folder, running, outcome)
        point_to_best(search.folder, search.study)
        search.tidy()
        search.display.trial_ended(running.number, outcome, _STATE_WORDS[STATES[outcome.ending]])

    # ------------------------------------------------------------------ stopping

    def _follow_interrupts(self) -> None:
        if self._interrupts.count > 0 and not self._politely_stopped:
            self._politely_stopped = True
            self._search.display.notice(
                "stopping: every running trial saves a checkpoint at its next step; "
                "press ^C again to stop at once"
            )
            self._stop_all(Stop.INTERRUPT)
        if self._interrupts.count > 1 and not self._killed:
            self._killed = True
            for running in self._running:
                if running.attempt is not None:
                    running.attempt.kill()

    def _stop_all(self, reason: Stop) -> None:
        for running in self._running:
            self._request_stop(running, reason)

    def _request_stop(self, running: RunningTrial, reason: Stop) -> None:
        running.request_stop(reason)
        self._search.display.trial_stopping(running.number, reason)


_STATE_WORDS: dict[TrialState, Any] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def _fits_yet(running: RunningTrial, verdict: Verdict) -> bool:
    """Whether a trial that ran out of memory may fit with fewer samples at once."""
    return verdict.ending is Ending.MEMORY and running.take_less_memory()


def best_of(study: optuna.Study) -> tuple[int, float] | None:
    """The best complete trial's number and value."""
    best = best_trial(study)
    return None if best is None or best.value is None else (best.number, best.value)
