"""Attempts as orders to jobs of a Slurm cluster, for one of which they wait.

All that outlives this process is in the jobs' folders; a later orchestrator finds its jobs there
and in squeue. Calls are answered on this machine.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.launcher.base import Attempt, Cause, Exit
from orchestrator.launcher.local import LocalLauncher
from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm.board import Board
from orchestrator.launcher.slurm.job import Job
from orchestrator.launcher.slurm.pool import LEAVE_SECONDS, STEP_SECONDS, Pool
from protocol.errors import UserError
from protocol.files import write_json
from protocol.folders import TrialFolder
from protocol.messages import Plan, latest_plan

_MOST_OF_LIMIT = 0.5  # of a job's time: with more than that left it takes any trial
_WAITED = "it was still waiting for a job"


class SlurmLauncher:
    """Launches attempts through Slurm.

    Args:
        jobs: the folder of the study's jobs.
        launcher: what to ask Slurm for.
        name: by which a job is called, by its number: no other study's has it.
        family: whose libraries the nodes import ahead.
        stages: that a model is cut into.
        processes: of a trial on one node.
        local: answers calls.
        say: tells people a sentence.
    """

    def __init__(
        self,
        *,
        jobs: Path,
        launcher: LauncherSettings,
        name: Callable[[int], str],
        family: str,
        stages: int,
        processes: int,
        local: LocalLauncher,
        say: Callable[[str], None],
    ) -> None:
        folder = jobs.absolute()
        self._settings, self._local = launcher, local
        self._pool = Pool(
            jobs=folder,
            launcher=launcher,
            name=name,
            family=family,
            stages=stages,
            processes=processes,
            say=say,
            cancelled=self._cancelled,
        )
        self._board = Board(folder)
        self._waiting: list[SlurmAttempt] = []
        self._seconds: list[float] = []  # that attempts took which came to their end
        self._left = False
        self._trouble: UserError | None = None  # to be told at the next look
        self._stepped = 0.0
        self.quiet, self._never = os.pipe()  # nothing ever comes of it: jobs are looked at by time

    @property
    def jobs(self) -> list[Job]:
        return self._pool.jobs

    # ------------------------------------------------------------------ the launcher's protocol

    def launch(self, folder: TrialFolder, plan: Plan) -> SlurmAttempt:
        attempt = SlurmAttempt(self, folder, plan.attempt)
        self._waiting.append(attempt)
        try:
            self.step(now=True)
        except UserError as error:  # of another's: this one is to be followed first
            self._trouble = error
        return attempt

    def take_up(self, folder: TrialFolder) -> SlurmAttempt | None:
        plan = latest_plan(folder)
        attempt = self._recorded(folder)
        if attempt is None or attempt.job is None or plan is None or plan.attempt != attempt.number:
            return None
        if attempt.order == attempt.job.orders - 1:
            attempt.job.holder = attempt
        return attempt

    def _recorded(self, folder: TrialFolder) -> SlurmAttempt | None:
        """The order that the attempt in `folder` was, if its job is still there."""
        record = _record(folder)
        if record is None:
            self._local.take_up(folder)  # of a time when trials ran on this machine
            return None
        for job in self.jobs:
            if job.folder.number == record["job"]:
                attempt = SlurmAttempt(self, folder, record["attempt"])
                # A kill may have come between the record and the order, which another then got.
                if job.gave(record["order"], attempt.folder, attempt.number):
                    attempt.job, attempt.order = job, record["order"]
                    return attempt
        return None

    def call(
        self,
        function: str,
        arguments: dict[str, Any],
        waiting: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        return self._local.call(function, arguments, waiting)

    def avoid(self, attempt: Attempt) -> bool:
        """A node whose device failed gets no further trial of this job, and not the next job."""
        if isinstance(attempt, SlurmAttempt) and attempt.job is not None:
            attempt.job.close()
            if attempt.job.state is not None:
                self._pool.avoid(attempt.job.state.nodes)
        return True

    def sweep(self, folder: TrialFolder) -> int:
        """End the order that is recorded in `folder`, should it still be at work."""
        attempt = self._recorded(folder)
        if attempt is None or attempt.job is None or attempt.job.exit(attempt.order) is not None:
            return 0
        attempt.kill()
        deadline = time.monotonic() + LEAVE_SECONDS
        while attempt.poll() is None:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{attempt.place} does not let go of {folder.path}; once squeue shows it no "
                    "more, type the same command again"
                )
            time.sleep(STEP_SECONDS)
        return 1

    def leave(self) -> None:
        self._left = True

    def close(self) -> None:
        """Have jobs without a trial leave, and wait for that; those that train go on."""
        if not self._left:
            self._pool.dismiss()
        self._pool.close()
        self._local.close()
        self._board.show(self.jobs, now=True)
        os.close(self.quiet)
        os.close(self._never)

    # ------------------------------------------------------------------ one look at everything

    def step(self, now: bool = False) -> None:
        """Take note of what has happened, give orders, submit jobs.

        Raises:
            UserError: Slurm refuses jobs, or they end before they begin.
        """
        if not now and time.monotonic() - self._stepped < STEP_SECONDS:
            return
        self._stepped = time.monotonic()
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        self._pool.look()
        self._give_orders()
        self._pool.submit_for(len(self._waiting))
        self._board.show(self.jobs)

    def _give_orders(self) -> None:
        for job in self.jobs:
            if not self._waiting:
                return
            if not job.idle or job.holder is not None:
                continue
            if not self._has_time(job):
                job.close()
                continue
            attempt = self._waiting[0]
            attempt.record(job, job.orders)
            order = job.give(attempt.folder, attempt.number)
            if order is not None:
                self._waiting.pop(0).begin(job, order)

    def _has_time(self, job: Job) -> bool:
        """Whether a further trial would most likely come to its end in a job."""
        if job.orders == 0 or job.state is None or job.state.left is None:
            return True
        left = job.state.left - self._settings.signal_seconds
        needed = statistics.median(self._seconds) if self._seconds else 0.0
        if self._settings.seconds is not None:
            needed = min(needed, _MOST_OF_LIMIT * self._settings.seconds)
        return left > max(needed, 0.0)

    # ------------------------------------------------------------------ attempts

    def recall(self, attempt: SlurmAttempt) -> None:
        """Take back what no job has been given."""
        if attempt in self._waiting:
            self._waiting.remove(attempt)
            attempt.exit = Exit(vanished=True, word=_WAITED)

    def kill(self, attempt: SlurmAttempt) -> None:
        """End an attempt, and its job."""
        self.recall(attempt)
        if attempt.job is not None and attempt.exit is None:
            attempt.job.kill(attempt.order)
            attempt.job.close()
            self._pool.end([attempt.job])

    def _cancelled(self, job: Job) -> None:
        """Somebody cancelled a job that had not begun: one attempt less is wanted."""
        if self._waiting:
            self._waiting.pop().exit = Exit(vanished=True, word=job.word, cause=Cause.CANCELLED)

    def took(self, seconds: float) -> None:
        """Learn how long an attempt took that came to its end by itself."""
        self._seconds.append(seconds)

    def reason(self, attempt: SlurmAttempt) -> str:
        """What an attempt without a job waits for."""
        coming = [job for job in self.jobs if job.waits]
        place = self._waiting.index(attempt) if attempt in self._waiting else len(coming)
        return coming[place].place if place < len(coming) else "waits for a job"


class SlurmAttempt:
    """One attempt: it waits for a job, then it is an order of one."""

    def __init__(self, launcher: SlurmLauncher, folder: TrialFolder, number: int) -> None:
        self._launcher = launcher
        self.folder = TrialFolder(folder.path.absolute())
        self.number = number
        self.job: Job | None = None
        self.order = -1
        self.exit: Exit | None = None
        self._began: float | None = None  # unknown of one that was taken up

    def record(self, job: Job, order: int) -> None:
        """Say in the trial's folder where it is going to run."""
        told: dict[str, Any] = {"attempt": self.number, "job": job.folder.number, "order": order}
        told |= {"id": job.id, "nodes": "" if job.state is None else job.state.nodes}
        write_json(self.folder.attempt, told)

    def begin(self, job: Job, order: int) -> None:
        """It is the order `order` of a job from now on."""
        self.job, self.order = job, order
        job.holder = self
        self._began = time.monotonic()

    def fileno(self) -> int:
        return self._launcher.quiet

    def poll(self) -> Exit | None:
        if self.exit is None:
            self._launcher.step()
        if self.exit is None and self.job is not None:
            self.exit = self.job.exit(self.order)
            if self.exit is not None:
                if self.job.holder is self:
                    self.job.holder = None
                if self.exit.cause is None and self.exit.first is None and self._began:
                    self._launcher.took(time.monotonic() - self._began)
        return self.exit

    def kill(self) -> None:
        self._launcher.kill(self)

    def recall(self) -> None:
        self._launcher.recall(self)

    @property
    def waits(self) -> bool:
        return self.job is None

    @property
    def place(self) -> str:
        return self._launcher.reason(self) if self.job is None else self.job.place


def _record(folder: TrialFolder) -> dict[str, Any] | None:
    """Which order of which job an attempt is, where it is one."""
    try:
        record: dict[str, Any] = json.loads(folder.attempt.read_text())
        return record if record.keys() >= {"attempt", "job", "order"} else None
    except (FileNotFoundError, ValueError, AttributeError):
        return None
