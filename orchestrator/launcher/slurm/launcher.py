"""Attempts as jobs of a Slurm cluster: a pool of jobs, and attempts that wait for one of them.

All that outlives this process is in the jobs' folders; a later orchestrator finds its jobs there
and in squeue. Calls are answered on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from orchestrator import words
from orchestrator.launcher.base import Attempt, Cause, Exit
from orchestrator.launcher.local import LocalLauncher
from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm.ask import Away, ask
from orchestrator.launcher.slurm.controller import Controller
from orchestrator.launcher.slurm.job import Job
from orchestrator.launcher.slurm.sbatch import UNSEEN, program, submit
from orchestrator.launcher.slurm.squeue import JobState
from protocol.errors import SettingsError, UserError
from protocol.files import write_json, write_text
from protocol.folders import JobFolder, TrialFolder
from protocol.letters import post
from protocol.messages import Plan, latest_plan

_STEP_SECONDS = 0.1  # between two looks at all of it
_SAVE_SECONDS = 2.0  # between two writings of what the jobs do, for those who look from elsewhere
_STILLBORN = 3  # jobs in a row that end before they begin, after which no more are submitted
_LEAVE_SECONDS = 60.0  # for jobs to leave at the end
_MOST_OF_LIMIT = 0.5  # of a job's time: with more than that left it takes any trial
_REFUSED_SECONDS = 300.0  # between two submissions where Slurm allows no further job
_OF_NO_JOB = {"jobs", "idle_seconds", "orchestrator", "reuse", "interface"}  # settings
_WAITED = "it was still waiting for a job"
ENDED = "ended"  # the folder of jobs that are over


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
        self._folder, self._settings, self._name = jobs.absolute(), launcher, name
        self._family, self._stages, self._processes = family, stages, processes
        self._local, self._say = local, say
        self._controller = Controller(say)
        self._waiting: list[SlurmAttempt] = []
        self._seconds: list[float] = []  # that attempts took which came to their end
        self._avoided: set[str] = set()  # nodes that failed, for the next job
        self._stillborn = 0
        self._left = self._refused = False
        self._trouble: UserError | None = None  # to be told at the next look
        self._stepped = self._saved = self._submit_after = 0.0
        self._shown = ""
        self.quiet, self._never = os.pipe()  # nothing ever comes of it: jobs are looked at by time
        (self._folder / ENDED).mkdir(parents=True, exist_ok=True)
        taken = [int(path.name) for path in (self._folder / ENDED).iterdir() if path.name.isdigit()]
        live = [path for path in self._folder.iterdir() if path.name.isdigit()]
        self._next_number = max([*taken, *(int(path.name) for path in live), -1]) + 1
        self.jobs: list[Job] = []
        for path in live:
            self._find(JobFolder(path))

    def _find(self, folder: JobFolder) -> None:
        """Go on with a job of an earlier orchestrator's."""
        job = Job.found(folder)
        if job is None:  # it was not submitted
            folder.path.rename(self._folder / ENDED / folder.path.name)
            return
        self.jobs.append(job)
        if job.id is not None:
            self._controller.register(job.id)
        if job.shape != self._shape:  # the settings ask for others now
            job.close()
            if job.orders == 0:
                self._end([job])

    @property
    def _shape(self) -> dict[str, Any]:
        """What a job has to be like to take a trial of these settings."""
        asked = self._settings.model_dump(mode="json", exclude=_OF_NO_JOB)
        of_trials = {"family": self._family, "stages": self._stages, "processes": self._processes}
        return {"asked": asked, **of_trials}

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
                self._avoided |= {attempt.job.state.nodes}
        return True

    def sweep(self, folder: TrialFolder) -> int:
        """End the order that is recorded in `folder`, should it still be at work."""
        attempt = self._recorded(folder)
        if attempt is None or attempt.job is None or attempt.job.exit(attempt.order) is not None:
            return 0
        attempt.kill()
        deadline = time.monotonic() + _LEAVE_SECONDS
        while attempt.poll() is None:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{attempt.place} does not let go of {folder.path}; once squeue shows it no "
                    "more, type the same command again"
                )
            time.sleep(_STEP_SECONDS)
        return 1

    def leave(self) -> None:
        self._left = True

    def close(self) -> None:
        """Have jobs without a trial leave, and wait for that; those that train go on."""
        if not self._left:
            self._dismiss()
        self._controller.close()
        self._local.close()
        self._save(now=True)
        os.close(self.quiet)
        os.close(self._never)

    def _dismiss(self) -> None:
        for job in self.jobs:
            if job.submission is not None:
                job.submission.cancel()
            if job.idle or job.waits:
                job.close()
        self._end([job for job in self.jobs if job.waits])
        self._wait_for_leaving()

    # ------------------------------------------------------------------ one look at everything

    def step(self, now: bool = False) -> None:
        """Take note of what has happened, give orders, submit jobs.

        Raises:
            UserError: Slurm refuses jobs, or they end before they begin.
        """
        if not now and time.monotonic() - self._stepped < _STEP_SECONDS:
            return
        self._stepped = time.monotonic()
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        self._controller.look()
        for job in list(self.jobs):
            self._follow(job)
        self._give_orders()
        self._submit_what_is_needed()
        self._save()

    def _follow(self, job: Job) -> None:
        if job.submission is not None and job.submission.done():
            self._submitted(job, job.submission)
        if job not in self.jobs:  # it never came to be one
            return
        job.state = self._state_of(job)
        had_begun = job.began
        job.look()
        if job.began and not had_begun:
            self._stillborn = 0
        self._check_time(job)
        if job.over and (job.orders == 0 or job.exit(job.orders - 1) is not None):
            self._over(job)

    def _check_time(self, job: Job) -> None:
        """Refuse a partition whose jobs would be told to leave before they have a trial."""
        if self._refused or job.orders or job.closed or job.state is None or job.state.left is None:
            return
        if job.state.left < self._settings.signal_seconds:
            self._refused = True
            job.close()
            raise SettingsError(
                f"found {self._settings.signal_seconds}, but job {job.id} has "
                f"{words.duration(job.state.left)} in all; expected less than that, or a longer "
                "launcher.time",
                key="launcher.signal_seconds",
            )

    def _submitted(self, job: Job, submission: Any) -> None:
        job.submission = None
        try:
            number = submission.result()
        except CancelledError:  # by us, before its turn came
            self._put_away(job)
            return
        except Away as away:
            # It may be in the queue all the same: by its name it is found there.
            self._say(f"Slurm did not say whether it took a job ({away}); squeue will tell")
            return
        except UserError as refused:
            self._put_away(job)
            if self._refused:
                return  # as the job before
            if not any(other.id and not other.over for other in self.jobs):
                self._refused = True
                raise
            # Such as a quota of jobs: those that there are go on.
            self._say(f"{refused}; the next try is in {words.duration(_REFUSED_SECONDS)}")
            self._submit_after = time.monotonic() + _REFUSED_SECONDS
            return
        self._known(job, number)

    def _known(self, job: Job, number: str) -> None:
        job.id = number
        write_text(job.folder.id, number + "\n")
        self._controller.register(number)
        if job.ended_by_us:  # while it was being submitted
            self._controller.cancel([number])

    def _state_of(self, job: Job) -> JobState | None:
        if job.id is None and job.submission is None:
            seen = self._controller.named(job.name)
            if seen is not None:
                self._known(job, seen.id)
            elif self._controller.looks >= job.looks_needed(self._controller.looks):
                return JobState(id="", name=job.name, state="GONE")
        return self._controller.states.get(job.id or "")

    def _over(self, job: Job) -> None:
        """Put a job away; what waits is given to others."""
        assert job.state is not None
        self._avoided |= set(job.nodes_at_fault())
        if not job.began and not job.ended_by_us:
            self._died_before_it_began(job, job.state)
        if job.holder is None:  # else once its last attempt has been told
            self._put_away(job)

    def _put_away(self, job: Job) -> None:
        self.jobs.remove(job)
        job.folder.path.rename(self._folder / ENDED / job.folder.path.name)

    def _died_before_it_began(self, job: Job, state: JobState) -> None:
        if state.state == "CANCELLED" and self._waiting:
            self._waiting.pop().exit = Exit(vanished=True, word=job.word, cause=Cause.CANCELLED)
        elif state.state in ("FAILED", "COMPLETED", "OUT_OF_MEMORY", "TIMEOUT"):
            self._stillborn += 1
        if self._stillborn and (self._stillborn >= _STILLBORN or _unseen(state)):
            self._stillborn = 0
            raise UserError(self._why_stillborn(job, state))

    def _why_stillborn(self, job: Job, state: JobState) -> str:
        if _unseen(state):
            return (
                f"{job.word}: its nodes do not see {self._folder}; expected runs_dir on a file "
                "system that the whole cluster shares"
            )
        said = job.last_words.strip().splitlines()[-1:]
        told = f"; its last words: {said[0]}" if said else ""
        return f"{job.word} before it began to work{told}; see {job.folder.path}"

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

    def _submit_what_is_needed(self) -> None:
        if self._refused or time.monotonic() < self._submit_after:
            return
        coming = sum(job.waits or job.idle for job in self.jobs if not job.closed)
        working = [job for job in self.jobs if not job.over and not job.closed]
        room = self._settings.jobs - len(working)
        for _ in range(min(len(self._waiting) - coming, room)):
            self._submit()

    def _submit(self) -> None:
        folder = JobFolder(self._folder / str(self._next_number))
        name = self._name(self._next_number)
        self._next_number += 1
        folder.path.mkdir(parents=True)
        told = {
            "name": name,
            "nodes": self._settings.nodes,
            "shape": self._shape,
            "reuse": self._settings.reuse,
            "idle_seconds": self._settings.idle_seconds,
        }
        post(folder.job, told)
        job = Job(folder, name, self._settings.nodes, self._shape, self._settings.reuse)
        exclude, self._avoided = frozenset(self._avoided), set()
        command = program("orchestrator.launcher.slurm.member", str(folder.path))
        job.submission = self._controller.do(
            lambda: submit(
                folder.path,
                command,
                name=name,
                launcher=self._settings,
                processes=self._processes,
                exclude=exclude,
            )
        )
        self.jobs.append(job)

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
            self._end([attempt.job])

    def took(self, seconds: float) -> None:
        """Learn how long an attempt took that came to its end by itself."""
        self._seconds.append(seconds)

    def reason(self, attempt: SlurmAttempt) -> str:
        """What an attempt without a job waits for."""
        coming = [job for job in self.jobs if job.waits]
        place = self._waiting.index(attempt) if attempt in self._waiting else len(coming)
        return coming[place].place if place < len(coming) else "waits for a job"

    def _end(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.ended_by_us = True
        numbers = [job.id for job in jobs if job.id is not None]
        if numbers:
            self._controller.cancel(numbers)

    def _wait_for_leaving(self) -> None:
        """Until no job is left that has nothing to train."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        told = 0
        while time.monotonic() < deadline:
            self._controller.look()
            for job in list(self.jobs):
                with contextlib.suppress(UserError):  # nothing more is to be submitted
                    self._follow(job)
            leaving = [job for job in self.jobs if job.closed or job.ended_by_us]
            if not leaving:
                return
            if len(leaving) != told:
                told = len(leaving)
                self._say(f"waiting for {words.counted(told, 'job')} to leave")
            time.sleep(_STEP_SECONDS)

    # ------------------------------------------------------------------ for those who look

    def _save(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._saved < _SAVE_SECONDS:
            return
        self._saved = time.monotonic()
        told = [
            {
                "id": job.id,
                "state": "SUBMITTED" if job.state is None else job.state.state,
                "reason": "" if job.state is None else job.state.reason,
                "nodes": "" if job.state is None else job.state.nodes,
                "seconds_left": None if job.state is None else job.state.left,
                "trial": None if job.holder is None else job.holder.folder.path.name,
            }
            for job in self.jobs
        ]
        shown = json.dumps(told)
        if shown != self._shown:
            self._shown = shown
            write_json(self._folder / "state.json", {"time": time.time(), "jobs": told})


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


def _unseen(state: JobState) -> bool:
    """Whether a job's first line did not find the folder, or its output could not be opened."""
    if state.state != "FAILED":
        return False
    try:
        shown = ask("scontrol", "--oneliner", "show", "job", state.id)
    except (UserError, Away):
        return False
    return f"ExitCode={UNSEEN}:0" in shown or "ExitCode=0:53" in shown
