"""`delete`: a study that nobody runs, its folder and its rows in a database that others share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from orchestrator import words
from orchestrator.commands.export import export_trial
from orchestrator.launcher.slurm.ask import Away
from orchestrator.launcher.slurm.detached import detached
from orchestrator.reporting.screen import near
from orchestrator.running.session import DONE, NOT_DONE, held
from orchestrator.study.find import read_study, require_study
from orchestrator.study.restart import delete, refuse_jobs, sweep_deleted
from protocol.errors import SettingsError
from protocol.folders import StudyFolder


def delete_study(folder: StudyFolder, *, yes: bool, keep: str | None, console: Console) -> int:
    """Ask, and delete; the exit code.

    Raises:
        SettingsError: there is no such study, it has jobs on a cluster, or nobody can be asked.
        StudyInUse: somebody works on it, here or elsewhere.
    """

    def say(sentence: str) -> None:
        console.print(Text(sentence), soft_wrap=True)

    if keep not in (None, "best"):
        raise SettingsError(f"found {keep!r}, expected best", key="--keep")
    if not folder.path.exists() and sweep_deleted(folder):
        say(f"Study {folder.name} had been deleted; what a kill had left of it is gone too")
        return DONE
    require_study(folder)
    if not folder.settings.exists() and not folder.database.exists():
        raise SettingsError(f"{folder.path} holds no study; it is left alone")
    with held(folder, say=say):
        _refuse_running_elsewhere(folder)
        if not yes and not _wanted(folder, console):
            say("Nothing was deleted")
            return NOT_DONE
        if keep is not None:
            _keep(folder, say)
        delete(folder)
    say(f"Study {folder.name} is deleted")
    return DONE


def _refuse_running_elsewhere(folder: StudyFolder) -> None:
    refuse_jobs(folder)
    if not (folder.jobs / "orchestrator.json").exists():
        return
    try:
        job = detached(folder.jobs)
    except Away as away:
        raise SettingsError(f"Slurm does not say whether the study's jobs live: {away}") from None
    if job is not None and job.lives:
        raise SettingsError(
            f"the orchestrator of study {folder.name!r} is {job.told}; end it first by "
            f"`run --study_name {folder.name} --cancel`"
        )


def _wanted(folder: StudyFolder, console: Console) -> bool:
    told = f"study {folder.name} with {_what_goes(folder)}"
    if not sys.stdin.isatty():
        raise SettingsError(f"nobody can be asked here; --yes deletes {told}", key="--yes")
    answer = console.input(Text(f"Delete {told}, for good? [y/N] "))
    return answer.strip().lower() in ("y", "yes")


def _what_goes(folder: StudyFolder) -> str:
    megabytes = sum(file.lstat().st_size for file in folder.path.rglob("*")) / 1e6
    size = f"{megabytes:.1f} MB in {near(folder.path)}"
    try:
        record = read_study(folder)
    except SettingsError:
        return f"its folder, {size}"  # its database is not there, or cannot be read
    trials = words.counted(len(record.trials), "trial")
    best = f", the best of which came to {words.number(record.best.value)}" if record.best else ""
    return f"{trials}{best}, and {size}"


def _keep(folder: StudyFolder, say: Callable[[str], None]) -> None:
    out = Path(f"{folder.path}.best")
    number = export_trial(folder, "best", out, overwrite=True).plan.trial
    say(f"Trial {number}, the best, is kept in {near(out)}")
