"""The search itself: one loop that starts trials, follows their events and settles their ends.

One trial's way: take a free slot, ask, write the plan, launch, tail the events, report, perhaps
ask for a stop, judge, write the outcome, tell, free the slot. A kill between any two of these
leaves a state from which `Runner` goes on: RUNNING trials with or without a plan, events not yet
reported, an outcome not yet told.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from orchestrator import words
from orchestrator.launcher.base import Attempt, Exit
from orchestrator.proposing.ask import TrialSource
from orchestrator.running.clock import Clock
from orchestrator.running.queue import TrialQueue
from orchestrator.running.repeated import Repeated
from orchestrator.running.room import disk_full, has_room, room_needed
from orchestrator.running.session import Session
from orchestrator.running.settle import (
    ELSEWHERE,
    STATES,
    forget,
    keep_outcome,
    make_outcome,
    settle,
    sweep_ended,
)
from orchestrator.running.slots import Slot
from orchestrator.running.trial import RunningTrial, make_plan, planned_script, trained_seconds
from orchestrator.running.verdict import Verdict
from orchestrator.steering.requests import What
from orchestrator.study.identity import name_now
from orchestrator.study.inputs import data_fingerprint
from orchestrator.study.ranking import best_of, point_to_best
from protocol.errors import UserError
from protocol.messages import Ending, Fault, Outcome, Plan, Stop, load_outcome

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2  # between looks at the events of running trials
_RESUMED = (
    Ending.LOST,
    Ending.HUNG,
    Ending.INTERRUPTED,
    Ending.MOVED,
)  # endings that are none of the trial's own
_WORD = 1 << 20  # bytes without which a rank cannot be sure to tell its end
_ELSEWHERE_SECONDS = 2.0  # between looks for what somebody else did to the study


class Runner:
    """Runs a study until its budget is spent or it is interrupted."""

    def __init__(self, session: Session, source: TrialSource, clock: Clock) -> None:
        self._session = session
        self._source = source
        self._interrupts = session.interrupts
        self._clock = clock
        self._queue = TrialQueue(session, source, clock)
        self._free = list(session.slots)
        self._running: list[RunningTrial] = []
        self._politely_stopped = self._killed = False
        self._paused = False
        self._trouble: UserError | None = None
        self._repeated = Repeated(session.settings.limits.same_failures)
        self._yielded: dict[Slot, str] = {}  # free slots that others use, and who
        self._looked = 0.0  # when others' changes were looked for
        self._name = session.study.study_name  # in the database

    def run(self) -> None:
        """Search until done or interrupted.

        Raises:
            UserError: a trial met something only the user can mend; every trial can be resumed.
        """
        self._take_up_unfinished()
        self._follow_interrupts()
        self._follow_requests()
        self._start_what_fits()
        self._tidy_up()  # while trials train: it takes a look into every folder
        while True:
            self._follow_interrupts()
            self._follow_requests()
            self._start_what_fits()
            if not self._running and not self._rests and not self._yields:
                break
            if self.left:
                self._session.launcher.leave()
                break
            self._wait()
            self._look_for_changes_elsewhere()
            for running in list(self._running):
                self._follow(running)
            self._clock.hold(self._devices_held)
            self._clock.save()
        self._clock.save(now=True)
        if self._trouble is not None:
            raise self._trouble

    def abandon(self) -> None:
        """End every attempt at once: what they came to is taken up again as after a kill."""
        for running in self._running:
            if running.attempt is not None:
                running.attempt.kill()
        for running in self._running:
            self._session.launcher.sweep(running.folder)
        self._running.clear()

    @property
    def _devices_held(self) -> int:
        """Devices that are this study's alone; on a cluster its jobs hold them."""
        if self._session.settings.launcher.kind == "slurm":
            return 0
        slots = [slot for slot in self._session.slots if slot not in self._yielded]
        return sum(slot.device_count for slot in slots)

    @property
    def left(self) -> bool:
        """Whether this process is to leave, its trials going on without it."""
        return self._interrupts.left_by is not None

    @property
    def interrupted(self) -> bool:
        return self._interrupts.count > 0

    @property
    def budget_spent(self) -> bool:
        """Whether the study's number of trials, or its time, is used up, and no trial is left."""
        return self._queue.budget_spent

    @property
    def ruled(self) -> str:
        """Why a stop rule has ended the search; empty where none has."""
        return self._queue.ruled

    # ------------------------------------------------------------------ taking up and starting

    def _take_up_unfinished(self) -> None:
        for running in self._queue.unfinished():
            attempt = self._session.launcher.take_up(running.folder)
            if attempt is not None and load_outcome(running.folder.outcome) is None:
                self._follow_on(running, attempt)
            else:
                running.folder.sweep()
                self._take_up(running)

    def _tidy_up(self) -> None:
        """Do what kills behind a tell left undone."""
        point_to_best(self._session.folder, self._session.study)
        self._source.tidy()
        sweep_ended(self._session.study, self._session.folder)

    def _follow_on(self, running: RunningTrial, attempt: Attempt) -> None:
        """An attempt has outlived the orchestrator that launched it."""
        slot = self._free.pop(0) if self._free else self._session.slots[0]
        running.take_up(attempt, slot)
        self._session.display.notice(f"trial {running.number} is taken up: {attempt.place}")
        self._started(running, slot)
        if running.asked_to_end:
            self._request_stop(running, Stop.INTERRUPT)

    def _take_up(self, running: RunningTrial) -> None:
        outcome = load_outcome(running.folder.outcome)
        self._report(running)
        if outcome is not None:
            self._end(running, outcome)
            return
        if running.folder.outcome.exists():
            self._session.display.notice(
                f"{running.folder.outcome} is damaged: trial {running.number} is settled again"
            )
        if running.refusal:
            self._refuse(running)
            return
        verdict = running.judged(None)
        if verdict is None or verdict.ending in _RESUMED or _fits_yet(running, verdict):
            self._queue.put(running)
        else:
            self._end(running, make_outcome(running, verdict))

    def _start_what_fits(self) -> None:
        while not self._stopping and not self.left and not self._paused:
            slot = self._free_slot()
            if slot is None:
                return
            try:
                self._session.check_data()
                running = self._queue.next()
            except UserError as error:
                self._stop_for(error)
                return
            if running is None:
                return
            if running.asked_to_end:
                self._end(running, make_outcome(running, running.cancelled))
            elif running.refusal:
                self._refuse(running)
            else:
                self._free.remove(slot)
                self._launch(running, slot)
            self._follow_interrupts()
            self._follow_requests()

    def _free_slot(self) -> Slot | None:
        """The first free one that nobody else uses, where others are yielded to."""
        if not self._session.settings.yield_to_others:
            return self._free[0] if self._free else None
        taken = {
            slot: told for slot in self._free if (told := self._session.gpus.taken(slot.devices))
        }
        for slot, told in taken.items():
            if slot not in self._yielded:
                self._session.display.notice(f"{told}, and left alone until it is free")
        for slot in self._yielded.keys() - taken.keys():
            self._session.display.notice(f"{', '.join(slot.devices)}: free again")
        self._yielded = taken
        return next((slot for slot in self._free if slot not in taken), None)

    def _refuse(self, running: RunningTrial) -> None:
        """End a trial whose point cannot be trained; the sampler hears that it is infeasible."""
        self._session.display.notice(f"trial {running.number}: {running.refusal}; it is left out")
        verdict = Verdict(ending=Ending.INVALID, reason=running.refusal)
        self._end(running, make_outcome(running, verdict))

    def _launch(self, running: RunningTrial, slot: Slot) -> None:
        running.launch(self._session.launcher, slot, self._plan(running, slot))
        log.info("trial %d: attempt %d launched", running.number, running.number_of_attempt)
        self._started(running, slot)

    def _started(self, running: RunningTrial, slot: Slot) -> None:
        self._running.append(running)
        self._session.display.trial_started(
            running.number,
            self._source.describe(running.trial),
            running.number_of_attempt,
            slot.devices,
            running.events,
            trained_seconds(running.events),
        )

    def _plan(self, running: RunningTrial, slot: Slot) -> Plan:
        source = self._source
        assert running.recipe is not None, "a refused point is never launched"
        seed = source.trial_seed(running.number)
        return make_plan(
            self._session.settings,
            slot,
            study=self._session.name,
            study_identity=self._session.known.identity,
            data_fingerprint=data_fingerprint(self._session.known.inputs),
            trial=running.number,
            attempt=running.number_of_attempt + 1,
            seed=seed,
            recipe=running.recipe,
            searched=sorted(running.trial.params),
            micro_batch=running.micro_batch,
            surroundings=self._session.surroundings,
            script=planned_script(self._session.settings, self._session.name, running, seed),
        )

    # ------------------------------------------------------------------ following

    def _wait(self) -> None:
        """Until a group has gone, a signal has come, or it is time for a look at the events."""
        attempts = [running.attempt.fileno() for running in self._running if running.attempt]
        began = time.monotonic()
        select.select([*attempts, self._interrupts.fileno()], [], [], _LOOK_SECONDS)
        if not self._running:  # all rest
            self._clock.leave_out(time.monotonic() - began)
        self._interrupts.drain()
        self._session.check_hold()

    def _follow(self, running: RunningTrial) -> None:
        assert running.attempt is not None
        exit = self._polled(running.attempt)  # first: the events read below are all there are
        if exit is None:
            self._session.display.trial_placed(running.number, running.attempt.place)
        self._guarded(running, lambda: self._report(running))
        if exit is not None:
            self._running.remove(running)
            # Unless its device was set aside meanwhile, or more were taken up than there are slots.
            if running.slot in self._session.slots and self._has_room_for(running.slot):
                self._free.append(running.slot)
                self._session.gpus.freed(running.slot.devices)
            self._guarded(running, lambda: self._conclude(running, exit))
            if running.ended_elsewhere:
                self._leave(running)
        elif running.overdue(self._session.settings.limits.trial_timeout):
            self._request_stop(running, Stop.TIMEOUT)

    def _polled(self, attempt: Attempt) -> Exit | None:
        try:
            return attempt.poll()
        except UserError as error:  # no further attempt can be launched
            self._stop_for(error)
            return attempt.poll()

    def _has_room_for(self, slot: Slot) -> bool:
        used = sum(running.slot == slot for running in self._running) + self._free.count(slot)
        return used < self._session.slots.count(slot)

    def _guarded(self, running: RunningTrial, action: Callable[[], None]) -> None:
        """Do something to a trial that somebody else may end in the study at any time."""
        if running.ended_elsewhere:
            return
        try:
            action()
        except optuna.exceptions.UpdateFinishedTrialError:
            self._ended_elsewhere(running)

    def _look_for_changes_elsewhere(self) -> None:
        """The dashboard's buttons, or a notebook: nobody says so but the study.

        Raises:
            StudyGone: it was deleted.
        """
        if time.monotonic() - self._looked < _ELSEWHERE_SECONDS:
            return
        self._looked = time.monotonic()
        name = name_now(self._session.study)
        if name != self._name:
            self._name = name
            self._session.display.notice(
                f"the study was renamed to {name!r} in its database, as by the dashboard; here "
                f"it goes on as {self._session.name!r}, by which all commands know it"
            )
        for running in self._running:
            if not running.ended_elsewhere and running.frozen.state.is_finished():
                self._ended_elsewhere(running)

    def _ended_elsewhere(self, running: RunningTrial) -> None:
        running.ended_elsewhere = True
        state = running.frozen.state.name
        self._session.display.notice(
            f"trial {running.number} was ended as {state} from outside, and is stopped"
        )
        running.request_stop(Stop.INTERRUPT)

    def _leave(self, running: RunningTrial) -> None:
        """Keep what became of a trial that was told by others."""
        running.new_events()  # those of after that
        state = running.frozen.state
        reason = f"ended as {state.name} from outside, such as by the dashboard"
        verdict = Verdict(ending=Ending.INTERRUPTED, reason=reason)
        outcome = make_outcome(running, verdict)
        outcome = outcome.model_copy(update={"detail": {ELSEWHERE: state.name}})
        keep_outcome(running.folder, outcome)
        forget(running.folder)
        self._concluded(running, outcome, state)

    def _report(self, running: RunningTrial) -> None:
        """Pass new events on; those behind a decision to prune are no part of the record.

        The pruner is not asked about a trial that has nothing left to train.
        """
        for event in running.new_events():
            self._session.display.event(running.number, event)
            if running.pruned_at is not None:
                continue
            step = running.report(event)
            if step is None or running.is_done_with(event):
                continue
            if self._source.prunes(running.trial, step):
                running.prune(step)
                self._session.display.trial_stopping(running.number, Stop.PRUNED)

    def _conclude(self, running: RunningTrial, exit: Exit) -> None:
        self._session.launcher.sweep(running.folder)
        running.folder.sweep()
        verdict = running.judged(exit)
        if verdict is None:
            verdict = Verdict(ending=Ending.LOST, reason="the processes went away without a word")
        if verdict.ending is Ending.LOST and not has_room(self._session.folder.path, _WORD):
            # On a full disk nobody can write down that this is why they went.
            full = disk_full(self._session.folder)
            verdict = Verdict(ending=Ending.INTERRUPTED, reason=str(full), fault=Fault.DISK)
            self._stop_for(full)
        log.info("trial %d: %s, %s", running.number, verdict.ending, verdict.reason)
        running.left(verdict)
        self._follow_fault(running, verdict)
        stopped = verdict.ending in (Ending.INTERRUPTED, Ending.MOVED) and self._stopping
        rests = running.rests and verdict.ending is Ending.INTERRUPTED and verdict.fault is None
        if self._killed or stopped:
            self._set_aside(running, verdict)
        elif rests or self._goes_on(running, verdict):
            self._set_aside(running, verdict)
            self._queue.put(running)
        else:
            self._end(running, make_outcome(running, verdict))

    def _follow_fault(self, running: RunningTrial, verdict: Verdict) -> None:
        """What a rank's fault means for the other trials."""
        folder = self._session.folder
        match verdict.fault:
            case Fault.USER:
                self._stop_for(UserError(f"trial {running.number}: {verdict.reason}"))
            case Fault.DISK if not has_room(folder.path, room_needed(folder)):
                self._stop_for(disk_full(folder))
            case Fault.DEVICE if not self._avoided(running):
                self._set_aside_devices(running.devices_of(verdict.rank), verdict.reason)

    def _avoided(self, running: RunningTrial) -> bool:
        """Whether the launcher itself keeps later attempts off the device."""
        return running.attempt is not None and self._session.launcher.avoid(running.attempt)

    def _set_aside_devices(self, devices: Sequence[str], reason: str) -> None:
        """A GPU that failed for one process fails for the next: this run does without it."""
        slots = [slot for slot in self._session.slots if not set(devices) & set(slot.devices)]
        self._session.slots = slots
        self._free = [slot for slot in self._free if slot in slots]
        told = f"{', '.join(devices)} answered with an error: {reason}"
        self._session.display.notice(f"{told}; this run does without from now on")
        if not slots:
            mend = "mend that and type the same command again"
            self._stop_for(UserError(f"no device is left to train on; {told}; {mend}"))

    def _set_aside(self, running: RunningTrial, verdict: Verdict) -> None:
        """The trial stays in the study as running, to go on from its last checkpoint."""
        self._session.display.trial_ended(running.number, make_outcome(running, verdict), "running")

    def _goes_on(self, running: RunningTrial, verdict: Verdict) -> bool:
        """Whether another attempt follows as soon as there is a slot."""
        if verdict.ending is Ending.MOVED:  # which no trial can help, so that it costs it nothing
            self._session.display.notice(f"trial {running.number}: {verdict.reason}; it goes on")
            return True
        if verdict.ending in _RESUMED:
            return self._may_relaunch(running, verdict)
        return _fits_yet(running, verdict)

    def _may_relaunch(self, running: RunningTrial, verdict: Verdict) -> bool:
        losses = int(running.trial.user_attrs.get("losses", 0)) + 1
        most = self._session.settings.limits.relaunches
        running.trial.set_user_attr("losses", losses)
        stopped = verdict.ending is Ending.INTERRUPTED and verdict.fault is None
        by_others = " by others" if stopped else ""
        self._session.display.notice(
            f"trial {running.number}: {verdict.reason}{by_others}; "
            + (
                "it is resumed"
                if losses <= most
                else f"it was resumed {words.counted(most, 'time')}, and no more"
            )
        )
        return losses <= most

    def _end(self, running: RunningTrial, outcome: Outcome) -> None:
        session = self._session
        settle(session.study, session.folder, running, outcome)
        self._concluded(running, outcome, STATES[outcome.ending])

    def _concluded(self, running: RunningTrial, outcome: Outcome, state: TrialState) -> None:
        session = self._session
        point_to_best(session.folder, session.study)
        self._source.tidy()
        session.display.trial_ended(running.number, outcome, _STATE_WORDS[state])
        trouble = self._repeated.trouble(outcome)
        if trouble is not None:
            self._stop_for(trouble)

    # ------------------------------------------------------------------ stopping

    @property
    def _stopping(self) -> bool:
        """Whether this run is coming to an end before its budget."""
        return self._politely_stopped or self._trouble is not None

    def _stop_for(self, trouble: UserError) -> None:
        """End this run for what only the user can mend; the first trouble is the one told."""
        if self._trouble is None:
            self._trouble = trouble
            self._stop_all(Stop.INTERRUPT)

    def _follow_interrupts(self) -> None:
        if self._interrupts.count > 0 and not self._politely_stopped:
            self._politely_stopped = True
            self._session.display.notice(
                "stopping: every running trial saves a checkpoint at its next step; "
                "press ^C again to stop at once"
            )
            self._stop_all(Stop.INTERRUPT)
        if self._interrupts.count > 1 and not self._killed:
            self._killed = True
            for running in self._running:
                if running.attempt is not None:
                    running.attempt.kill()

    @property
    def _rests(self) -> bool:
        """Whether this run waits until the study is resumed."""
        if not self._paused or self._stopping or self.left:
            return False
        return not self._queue.budget_spent

    @property
    def _yields(self) -> bool:
        """Whether this run waits for a GPU that others use."""
        if not self._yielded or self._stopping or self.left:
            return False
        return not self._queue.budget_spent

    def _follow_requests(self) -> None:
        """What people ask for from other shells."""
        for request in self._session.steered():
            if request.what is What.STOP_TRIAL and request.trial is not None:
                self._end_trial(request.trial)
            elif request.what in (What.IGNORE, What.SET):
                self._look_anew()
        pause = self._session.steering.paused()
        if pause is not None and not self._paused:
            self._session.display.notice(f"{pause.told}: no trial trains")
            for running in self._running:
                running.rests = True
                self._request_stop(running, Stop.INTERRUPT)
        elif pause is None and self._paused:
            self._session.display.notice("the pause is over, the study goes on")
        self._paused = pause is not None

    def _look_anew(self) -> None:
        """The settings have changed, or which trials count."""
        self._source.look_anew()
        self._session.take_settings(self._source.settings)
        settings = self._session.settings
        self._repeated.most = settings.limits.same_failures
        timeout = settings.timeout
        self._session.display.study_changed(
            self._source.total,
            best_of(self._session.study),
            None if timeout is None else max(0.0, timeout - self._clock.seconds),
        )
        self._tidy_up()

    def _end_trial(self, number: int) -> None:
        """Somebody wants a trial to end; one that was never begun ends when it is its turn."""
        waiting = self._queue.withdraw(number)
        if waiting is not None:
            self._end(waiting, make_outcome(waiting, waiting.cancelled))
        for running in self._running:
            if running.number == number:
                self._session.display.notice(f"trial {number} is {running.asked_to_end}")
                self._request_stop(running, Stop.INTERRUPT)

    def _stop_all(self, reason: Stop) -> None:
        for running in self._running:
            self._request_stop(running, reason)

    def _request_stop(self, running: RunningTrial, reason: Stop) -> None:
        running.request_stop(reason)
        self._session.display.trial_stopping(running.number, reason)


_STATE_WORDS: dict[TrialState, Any] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def _fits_yet(running: RunningTrial, verdict: Verdict) -> bool:
    """Whether a trial that ran out of memory may fit with fewer samples at once."""
    return verdict.ending is Ending.MEMORY and running.take_less_memory()
