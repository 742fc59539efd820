"""One rank of a trial that is a user's command: its process, from start to end."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from protocol.errors import is_full
from protocol.files import look_anew
from protocol.folders import TrialFolder
from protocol.messages import (
    FROM_OUTSIDE,
    NO_ROOM,
    Event,
    Failed,
    Fault,
    Finished,
    Launched,
    NonFinite,
    Pictured,
    Plan,
    Started,
    Stopped,
    Validated,
    append_event,
    load_plan,
    read_events,
)
from protocol.script import ScriptPlan, matching, matching_path
from worker.machine.networks import NoMeeting
from worker.ranks.stopping import StopRequest
from worker.scripts.child import Child, NotFound, end_descendants
from worker.scripts.reports import Report, Reporter, source_of
from worker.scripts.surroundings import environment_of
from worker.scripts.words import last_words

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
STOP_SECONDS = 1.0  # that a request to stop may come after the end that it asks for
LIFE_SECONDS = 1.0  # between two looks for a sign of life


def run_script_rank(folder: TrialFolder, rank: int, tick: Callable[[], None]) -> int:
    """Run the command of the folder's plan as its rank `rank`.

    Args:
        folder: of the trial.
        rank: of this process.
        tick: called at every sign of progress.

    Returns:
        0 for an ending that is told by another event; 1 after a Failed event; NO_ROOM where the
        disk is too full for one.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", force=True
    )
    plan = load_plan(folder.plan)
    assert plan.script is not None
    try:
        if rank == 0:
            append_event(folder.events, Launched(attempt=plan.attempt, devices=plan.device_count))
        return ScriptRank(folder, plan, plan.script, rank, tick).run()
    except OSError as error:
        if not is_full(error):
            raise
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return NO_ROOM
    finally:
        end_descendants()


class ScriptRank:
    """The command's process of one rank; rank 0 tells what becomes of the trial."""

    def __init__(
        self,
        folder: TrialFolder,
        plan: Plan,
        script: ScriptPlan,
        rank: int,
        tick: Callable[[], None],
    ) -> None:
        self._folder, self._plan, self._script = folder, plan, script
        self._rank, self._tick = rank, tick
        self._log = folder.rank_log(rank)
        self._log_start = self._log.stat().st_size
        self._stop = StopRequest(folder.stop, looks=True)
        self._life = 0
        self._next_look = 0.0
        self._stop_seen: float | None = None
        self._epochs = plan.recipe.epochs  # None where the settings do not say how many
        told = read_events(folder.events) if rank == 0 else []  # the others tell of none
        self._validated = [event for event in told if isinstance(event, Validated)]
        self._best = self._best_of_earlier()
        self._epoch_began = time.monotonic()
        self._more = list(resuming(script, plan.attempt))
        self._reporter = self._new_reporter()

    def _new_reporter(self) -> Reporter:
        metric = self._plan.objective.metric
        return Reporter(
            source=source_of(self._script, self._folder, metric),
            metric=metric,
            state=self._folder.path / "counting.json",
            told={event.epoch for event in self._validated},
            resumed=bool(self._more),
            wanted=frozenset(self._script.report.metrics),
        )

    def _best_of_earlier(self) -> Validated | None:
        best = [event for event in self._validated if event.best]
        return best[-1] if best else None

    def run(self) -> int:
        """Follow the process to its end, and tell that; the exit code of this one."""
        try:
            environment = environment_of(self._folder, self._plan, self._rank, os.environ)
            command = [*self._script.command, *self._more]
            log.info("attempt %d: %s", self._plan.attempt, " ".join(command))
            child = Child(
                command,
                workdir=self._script.workdir,
                environment=environment,
                asked_by=signal.Signals[self._script.signal],
            )
        except NotFound as error:
            return self._failed("NotFound", f"the command cannot be run: {error}", "", Fault.SCRIPT)
        except NoMeeting as error:
            return self._failed("NoMeeting", str(error), "", Fault.MACHINE)
        self._started()
        code = self._followed(child)
        if code is None:
            return 0  # it was ended for what it came to
        end_descendants()  # which may still write
        if self._rank == 0 and self._reports(child):
            return 0
        return self._ended(code)

    def _followed(self, child: Child) -> int | None:
        """The command's exit code; None where it was ended because a number was not finite."""
        while (code := child.wait(LOOK_SECONDS)) is None:
            self._look_for_life()
            if self._rank == 0 and self._reports(child):
                return None
            if self._stop.requested():
                self._part_from(child)
            elif self._rank > 0 and self._folder.halt(self._plan.attempt).exists():
                child.ask()
                self._end_late(child)
        return code

    # ------------------------------------------------------------------ looking after it

    def _part_from(self, child: Child) -> None:
        """It is to stop: one that reports by itself hears so, others get a signal."""
        if self._folder.reports.exists() and not self._waited_for_report():
            return
        child.ask()
        self._end_late(child)

    def _waited_for_report(self) -> bool:
        if self._stop_seen is None:
            self._stop_seen = time.monotonic()
        return time.monotonic() - self._stop_seen > self._script.stop_seconds

    def _end_late(self, child: Child) -> None:
        if child.asked_for() > self._script.stop_seconds:
            log.info("it has not ended within %g s, and is killed", self._script.stop_seconds)
            child.kill()

    def _look_for_life(self) -> None:
        """What any rank prints or reports is a sign of life of all: they wait for each other."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LIFE_SECONDS
        logs = self._folder.path.glob("rank*.log")
        life = sum(path.stat().st_size for path in logs) + self._reporter.source.size()
        if life != self._life:
            self._life = life
            self._tick()

    # ------------------------------------------------------------------ what it reports

    def _started(self) -> None:
        if self._rank == 0:
            resumed = self._validated[-1].step if self._more and self._validated else 0
            self._tell(
                Started(
                    attempt=self._plan.attempt,
                    ranks=self._plan.ranks,
                    epochs=self._epochs or 0,
                    steps_per_epoch=1 if self._epochs else 0,
                    parameters=0,
                    resumed_step=resumed,
                )
            )

    def _reports(self, child: Child) -> bool:
        """Tell of the epochs that are new; whether the trial has ended by one, and the process."""
        for report in self._reporter.new():
            if report.infinite:
                return self._diverged(report, child)
            self._told(report)
        early = self._reporter.diverged()
        return early is not None and self._diverged(early, child)

    def _told(self, report: Report) -> None:
        objective = self._plan.objective
        value = report.metrics[objective.metric]
        best = objective.better(value, self._best.metrics[objective.metric] if self._best else None)
        now = time.monotonic()
        event = Validated(
            attempt=self._plan.attempt,
            epoch=report.epoch,
            step=report.epoch,
            metrics=report.metrics,
            losses={},
            learning_rate=0.0,
            seconds=now - self._epoch_began,
            best=best,
            last=report.epoch == self._epochs,
        )
        self._epoch_began = now
        self._validated.append(event)
        if best:
            self._best = event
        self._tell(event)

    def _diverged(self, report: Report, child: Child) -> bool:
        self._tell(
            NonFinite(
                attempt=self._plan.attempt,
                epoch=report.epoch,
                step=report.epoch,
                where="validation",
                ranks=[0],
                losses=report.infinite,
            )
        )
        self._folder.halt(self._plan.attempt).touch()
        child.ask()
        while child.wait(LOOK_SECONDS) is None:
            self._tick()
            self._end_late(child)
        return True

    # ------------------------------------------------------------------ how it ends

    def _ended(self, code: int) -> int:
        if self._stop.requested() or (code != 0 and self._is_to_stop_soon()):
            self._stopped()
            return 0
        if code == 0 and self._rank > 0:
            self._folder.done(self._plan.attempt, self._rank).touch()
            return 0
        if code == 0:
            self._wait_for_others()
            return self._finished()
        said = last_words(self._log, self._log_start)
        if -code in FROM_OUTSIDE and said.fault is not Fault.MEMORY:
            _end_by(-code)
        how = f"the command was ended by {signal.Signals(-code).name}" if code < 0 else ""
        how = how or f"the command left with code {code}"
        return self._failed(said.error, f"{said.message} ({how})", said.text, said.fault)

    def _is_to_stop_soon(self) -> bool:
        """A cluster that takes its nodes back tells a job's processes all at once."""
        deadline = time.monotonic() + STOP_SECONDS
        while not self._stop.requested() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return self._stop.requested()

    def _stopped(self) -> None:
        if self._rank == 0:
            last = self._validated[-1].epoch if self._validated else 0
            reason = self._stop.reason
            self._tell(Stopped(attempt=self._plan.attempt, reason=reason, epoch=last, step=last))

    def _wait_for_others(self) -> None:
        """A rank that fails even now ends the whole group, and this one with it."""
        others = [self._folder.done(self._plan.attempt, r) for r in range(1, self._plan.ranks)]
        while not all(path.exists() for path in others):
            look_anew(self._folder.path)
            self._look_for_life()
            time.sleep(LOOK_SECONDS / 10)

    def _finished(self) -> int:
        if self._best is None:
            return self._failed("NoReport", self._why_nothing(), "", Fault.SCRIPT)
        for picture in self._pictures():
            path = str(picture.relative_to(self._folder.path))
            self._tell(Pictured(attempt=self._plan.attempt, path=path))
        last = self._validated[-1]
        self._tell(
            Finished(
                attempt=self._plan.attempt,
                epoch=last.epoch,
                step=last.step,
                early=self._epochs is not None and last.epoch < self._epochs,
                best_epoch=self._best.epoch,
                metrics=self._best.metrics,
            )
        )
        return 0

    def _why_nothing(self) -> str:
        metric, fractional = self._plan.objective.metric, self._reporter.fractional
        if fractional is not None:
            return (
                f"it counts epochs as {fractional:g}; script.report.epoch names a column of whole "
                "numbers, or one that is not there, so that reports are counted"
            )
        seen = sorted(self._reporter.seen)
        where = self._script.report.told or "what it reports itself"
        reported = f"{where} has {', '.join(seen) or 'nothing'}"
        return f"the command ended without a report of {metric}: {reported}"

    def _pictures(self) -> Iterator[Path]:
        """The first of those that the settings ask for, copied to where pictures are."""
        output = Path(self._script.folder)
        found = sorted(matching(output, self._script.pictures))
        for path in [path for path in found if path.suffix == ".png"][: self._plan.pictures]:
            self._folder.pictures.mkdir(exist_ok=True)
            name = "_".join(path.relative_to(output).parts)
            yield Path(shutil.copyfile(path, self._folder.pictures / name))

    def _failed(self, error: str, message: str, text: str, fault: Fault) -> int:
        self._tell(
            Failed(
                attempt=self._plan.attempt,
                rank=self._rank,
                error=error,
                message=message,
                traceback=text,
                fault=fault,
            )
        )
        return 1

    def _tell(self, event: Event) -> None:
        append_event(self._folder.events, event)


def _end_by(number: int) -> None:
    """End as the command did, so that this counts as what it was: somebody else's doing."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def resuming(script: ScriptPlan, attempt: int) -> Iterator[str]:
    """The arguments by which the command goes on; none where there is nothing to go on from.

    A pattern stands for the latest file that matches it.
    """
    if attempt == 0:
        return
    filled = []
    for argument in script.resume:
        before, folder, _ = argument.partition(script.folder)
        if not folder:
            filled.append(argument)
            continue
        pattern = argument[len(before) :]
        found = matching_path(pattern)
        if not found:
            log.info("there is no %s to go on from: it begins anew", pattern)
            return
        filled.append(before + str(found[-1]))
    yield from filled
