"""`run --cancel`: end a study's search at once, with every job that it has on a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from orchestrator import words
from orchestrator.launcher.slurm.ask import Away, Refused, ask
from orchestrator.running.interrupts import AT_ONCE
from orchestrator.running.session import DONE
from orchestrator.study.find import check_study_name
from orchestrator.study.holding.lock import live_holder, living_holder
from protocol.errors import UserError
from protocol.files import write_text
from protocol.folders import JobFolder, StudyFolder
from protocol.letters import read

_GONE_SECONDS = 120.0  # for the search, or the jobs, to end
_LOOK_SECONDS = 0.5


def cancel_study(name: str, runs_dir: Path, console: Console) -> int:
    """End the search as a second ^C in its shell would, and then the jobs that are left.

    Raises:
        UserError: there is no such study, or it does not end.
    """
    folder = StudyFolder(runs_dir / check_study_name(name))
    if not folder.path.is_dir():
        raise UserError(f"there is no study {name!r} in {runs_dir}", key="--study_name")
    holder = living_holder(folder.lock, lambda said: console.print(Text(said), soft_wrap=True))
    if holder is not None:
        console.print(Text(f"asking process {holder.pid} on {holder.host} to stop at once"))
        write_text(folder.stop, AT_ONCE)
        try:
            _wait(
                lambda: live_holder(folder.lock) is None, f"process {holder.pid} on {holder.host}"
            )
        finally:
            folder.stop.unlink(missing_ok=True)
    try:
        ended = _end_jobs(folder)
    except Away as away:
        raise UserError(f"Slurm does not answer, try again in a while: {away}") from None
    console.print(
        Text(
            f"Study {name} is stopped"
            + (f", and {words.counted(ended, 'job')} ended" if ended else "")
            + "; the command that began it goes on with its trials from their last checkpoints"
        ),
        soft_wrap=True,
    )
    return DONE


def _end_jobs(folder: StudyFolder) -> int:
    """End what no orchestrator looks after any more; how many jobs that were."""
    live = [JobFolder(path) for path in folder.jobs.glob("*") if path.name.isdigit()]
    numbers = [number for job in live for number in _numbers(job)]
    if (folder.jobs / "orchestrator.json").exists():
        from orchestrator.launcher.slurm.detached import detached

        own = detached(folder.jobs)
        numbers += [own.id] if own is not None else []
    numbers = [number for number in numbers if _lives(number)]
    if numbers:
        with contextlib.suppress(Refused):  # by those that have ended meanwhile
            ask("scancel", "--quiet", *numbers)
        _wait(lambda: not any(map(_lives, numbers)), f"jobs {', '.join(numbers)}")
    for job in live:
        (folder.jobs / "ended").mkdir(exist_ok=True)
        job.path.rename(folder.jobs / "ended" / job.path.name)
    return len(numbers)


def _numbers(job: JobFolder) -> list[str]:
    """Slurm's number for a job; by its name, where a kill came before it was written down."""
    if job.id.exists():
        return [job.id.read_text().strip()]
    told = read(job.job)
    if told is None:
        return []
    return ask("squeue", "--noheader", "--format=%A", f"--name={told['name']}").split()


def _lives(number: str) -> bool:
    try:
        return bool(ask("squeue", "--noheader", "--format=%T", f"--jobs={number}").strip())
    except Refused:  # an invalid job id
        return False


def _wait(over: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _GONE_SECONDS
    while not over():
        if time.monotonic() > deadline:
            raise UserError(f"{what} did not end within {_GONE_SECONDS:g} s; try again")
        time.sleep(_LOOK_SECONDS)
