"""The jobs of a study: found again, submitted as trials need them, followed to their ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from orchestrator import words
from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm.ask import Away, ask
from orchestrator.launcher.slurm.controller import Controller
from orchestrator.launcher.slurm.job import Job
from orchestrator.launcher.slurm.sbatch import UNSEEN, program, submit
from orchestrator.launcher.slurm.squeue import JobState
from protocol.errors import SettingsError, UserError
from protocol.files import write_text
from protocol.folders import JobFolder
from protocol.letters import post

LEAVE_SECONDS = 60.0  # for jobs to leave at the end
STEP_SECONDS = 0.1  # between two looks at all of it
_STILLBORN = 3  # jobs in a row that end before they begin, after which no more are submitted
_REFUSED_SECONDS = 300.0  # between two submissions where Slurm allows no further job
_OF_NO_JOB = {"jobs", "idle_seconds", "orchestrator", "reuse", "interface"}  # settings
ENDED = "ended"  # the folder of jobs that are over


class Pool:
    """The jobs that there are, and those to come.

    Args:
        jobs: the folder of the study's jobs.
        launcher: what to ask Slurm for.
        name: by which a job is called, by its number: no other study's has it.
        family: whose libraries the nodes import ahead.
        stages: that a model is cut into.
        processes: of a trial on one node.
        say: tells people a sentence.
        cancelled: hears of a job that somebody cancelled before it began.
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
        say: Callable[[str], None],
        cancelled: Callable[[Job], None],
    ) -> None:
        self._folder, self._settings, self._name = jobs, launcher, name
        self._family, self._stages, self._processes = family, stages, processes
        self._say, self._cancelled = say, cancelled
        self._controller = Controller(say)
        self._avoided: set[str] = set()  # nodes that failed, for the next job
        self._stillborn = 0
        self._refused = False
        self._submit_after = 0.0
        (self._folder / ENDED).mkdir(parents=True, exist_ok=True)
        taken = [int(path.name) for path in (self._folder / ENDED).iterdir() if path.name.isdigit()]
        live = [path for path in self._folder.iterdir() if path.name.isdigit()]
        self.next_number = max([*taken, *(int(path.name) for path in live), -1]) + 1
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
        if job.shape != self.shape:  # the settings ask for others now
            job.close()
            if job.orders == 0:
                self.end([job])

    @property
    def shape(self) -> dict[str, Any]:
        """What a job has to be like to take a trial of these settings."""
        asked = self._settings.model_dump(mode="json", exclude=_OF_NO_JOB)
        of_trials = {"family": self._family, "stages": self._stages, "processes": self._processes}
        return {"asked": asked, **of_trials}

    def look(self) -> None:
        """Take note of what has happened.

        Raises:
            UserError: Slurm refuses jobs, or they end before they begin.
        """
        self._controller.look()
        for job in list(self.jobs):
            self._follow(job)

    def avoid(self, nodes: str) -> None:
        """Keep the next job off nodes."""
        self._avoided |= {nodes}

    def end(self, jobs: list[Job]) -> None:
        """Cancel jobs, whatever they do."""
        for job in jobs:
            job.ended_by_us = True
        numbers = [job.id for job in jobs if job.id is not None]
        if numbers:
            self._controller.cancel(numbers)

    def dismiss(self) -> None:
        """Have jobs without a trial leave, and wait for that; those that train go on."""
        for job in self.jobs:
            if job.submission is not None:
                job.submission.cancel()
            if job.idle or job.waits:
                job.close()
        self.end([job for job in self.jobs if job.waits])
        self._wait_for_leaving()

    def close(self) -> None:
        """Ask Slurm no more."""
        self._controller.close()

    def _wait_for_leaving(self) -> None:
        """Until no job is left that has nothing to train."""
        deadline = time.monotonic() + LEAVE_SECONDS
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
            time.sleep(STEP_SECONDS)

    # ------------------------------------------------------------------ following jobs

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
        if state.state == "CANCELLED":
            self._cancelled(job)
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

    # ------------------------------------------------------------------ submitting them

    def submit_for(self, waiting: int) -> None:
        """Submit as many jobs as so many attempts that wait for one need."""
        if self._refused or time.monotonic() < self._submit_after:
            return
        coming = sum(job.waits or job.idle for job in self.jobs if not job.closed)
        working = [job for job in self.jobs if not job.over and not job.closed]
        room = self._settings.jobs - len(working)
        for _ in range(min(waiting - coming, room)):
            self._submit()

    def _submit(self) -> None:
        folder = JobFolder(self._folder / str(self.next_number))
        name = self._name(self.next_number)
        self.next_number += 1
        folder.path.mkdir(parents=True)
        told = {
            "name": name,
            "nodes": self._settings.nodes,
            "shape": self.shape,
            "reuse": self._settings.reuse,
            "idle_seconds": self._settings.idle_seconds,
        }
        post(folder.job, told)
        job = Job(folder, name, self._settings.nodes, self.shape, self._settings.reuse)
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


def _unseen(state: JobState) -> bool:
    """Whether a job's first line did not find the folder, or its output could not be opened."""
    if state.state != "FAILED":
        return False
    try:
        shown = ask("scontrol", "--oneliner", "show", "job", state.id)
    except (UserError, Away):
        return False
    return f"ExitCode={UNSEEN}:0" in shown or "ExitCode=0:53" in shown
