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

from orchestrator.launcher.base import Attempt, Exit
from orchestrator.proposing.ask import TrialSource
from orchestrator.running.clock import Clock
from orchestrator.running.ending import relaunch
from orchestrator.running.ending.elsewhere import Elsewhere
from orchestrator.running.ending.ends import Ends
from orchestrator.running.free_slots import FreeSlots
from orchestrator.running.plan import next_plan
from orchestrator.running.queue import TrialQueue
from orchestrator.running.room import disk_full, has_room, room_needed
from orchestrator.running.session import Session
from orchestrator.running.slots import Slot
from orchestrator.running.trial import RunningTrial, trained_seconds
from orchestrator.running.verdict import Verdict
from orchestrator.steering.requests import What
from orchestrator.study.ranking import best_of
from protocol.errors import UserError
from protocol.messages import Ending, Fault, Stop, load_outcome

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2  # between looks at the events of running trials
_WORD = 1 << 20  # bytes without which a rank cannot be sure to tell its end


class Runner:
    """Runs a study until its budget is spent or it is interrupted."""

    def __init__(self, session: Session, source: TrialSource, clock: Clock) -> None:
        self._session = session
        self._source = source
        self._interrupts = session.interrupts
        self._clock = clock
        self._queue = TrialQueue(session, source, clock)
        self._slots = FreeSlots(session)
        self._ends = Ends(session, source, self._stop_for)
        self._elsewhere = Elsewhere(session)
        self._running: list[RunningTrial] = []
        self._politely_stopped = self._killed = False
        self._paused = False
        self._trouble: UserError | None = None

    def run(self) -> None:
        """Search until done or interrupted.

        Raises:
            UserError: a trial met something only the user can mend; every trial can be resumed.
        """
        self._take_up_unfinished()
        self._follow_interrupts()
        self._follow_requests()
        self._start_what_fits()
        self._ends.tidy_up()  # while trials train: it takes a look into every folder
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
            self._elsewhere.look(self._running)
            for running in list(self._running):
                self._follow(running)
            self._clock.hold(self._slots.devices_held)
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

    def _follow_on(self, running: RunningTrial, attempt: Attempt) -> None:
        """An attempt has outlived the orchestrator that launched it."""
        slot = self._slots.lend_any()
        running.take_up(attempt, slot)
        self._session.display.notice(f"trial {running.number} is taken up: {attempt.place}")
        self._started(running, slot)
        if running.asked_to_end:
            self._request_stop(running, Stop.INTERRUPT)

    def _take_up(self, running: RunningTrial) -> None:
        outcome = load_outcome(running.folder.outcome)
        self._report(running)
        if outcome is not None:
            self._ends.settle(running, outcome)
            return
        if running.folder.outcome.exists():
            self._session.display.notice(
                f"{running.folder.outcome} is damaged: trial {running.number} is settled again"
            )
        if running.refusal:
            self._ends.refuse(running)
            return
        verdict = running.judged(None)
        if verdict is None or relaunch.is_unfinished(running, verdict):
            self._queue.put(running)
        else:
            self._ends.end(running, verdict)

    def _start_what_fits(self) -> None:
        while not self._stopping and not self.left and not self._paused:
            slot = self._slots.find()
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
                self._ends.cancel(running)
            elif running.refusal:
                self._ends.refuse(running)
            else:
                self._slots.lend(slot)
                self._launch(running, slot)
            self._follow_interrupts()
            self._follow_requests()

    def _launch(self, running: RunningTrial, slot: Slot) -> None:
        seed = self._source.trial_seed(running.number)
        plan = next_plan(self._session, running, slot, seed)
        running.launch(self._session.launcher, slot, plan)
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
        assert running.slot is not None
        exit = self._polled(running.attempt)  # first: the events read below are all there are
        if exit is None:
            self._session.display.trial_placed(running.number, running.attempt.place)
        self._elsewhere.guarded(running, lambda: self._report(running))
        if exit is not None:
            self._running.remove(running)
            self._slots.take_back(running.slot)
            self._elsewhere.guarded(running, lambda: self._conclude(running, exit))
            if running.ended_elsewhere:
                self._ends.told_by_others(running)
        elif running.overdue(self._session.settings.limits.trial_timeout):
            self._request_stop(running, Stop.TIMEOUT)

    def _polled(self, attempt: Attempt) -> Exit | None:
        try:
            return attempt.poll()
        except UserError as error:  # no further attempt can be launched
            self._stop_for(error)
            return attempt.poll()

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
            self._ends.set_aside(running, verdict)
        elif rests or self._goes_on(running, verdict):
            self._ends.set_aside(running, verdict)
            self._queue.put(running)
        else:
            self._ends.end(running, verdict)

    def _follow_fault(self, running: RunningTrial, verdict: Verdict) -> None:
        """What a rank's fault means for the other trials."""
        folder = self._session.folder
        match verdict.fault:
            case Fault.USER:
                self._stop_for(UserError(f"trial {running.number}: {verdict.reason}"))
            case Fault.DISK if not has_room(folder.path, room_needed(folder)):
                self._stop_for(disk_full(folder))
            case Fault.DEVICE if not self._avoided(running):
                devices = running.devices_of(verdict.rank)
                trouble = self._slots.set_aside(devices, verdict.reason)
                if trouble is not None:
                    self._stop_for(trouble)

    def _avoided(self, running: RunningTrial) -> bool:
        """Whether the launcher itself keeps later attempts off the device."""
        return running.attempt is not None and self._session.launcher.avoid(running.attempt)

    def _goes_on(self, running: RunningTrial, verdict: Verdict) -> bool:
        most = self._session.settings.limits.relaunches
        return relaunch.goes_on(running, verdict, most, self._session.display.notice)

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
        if not self._slots.yielded or self._stopping or self.left:
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
        timeout = self._session.settings.timeout
        self._session.display.study_changed(
            self._source.total,
            best_of(self._session.study),
            None if timeout is None else max(0.0, timeout - self._clock.seconds),
        )
        self._ends.look_anew()

    def _end_trial(self, number: int) -> None:
        """Somebody wants a trial to end; one that was never begun ends when it is its turn."""
        waiting = self._queue.withdraw(number)
        if waiting is not None:
            self._ends.cancel(waiting)
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
