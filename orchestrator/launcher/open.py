"""The one place that chooses a launcher."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from orchestrator.launcher.base import Launcher
from orchestrator.launcher.local import LocalLauncher
from orchestrator.launcher.preload import modules_of
from orchestrator.launcher.settings import DETACHED, LauncherSettings
from protocol.doors import Call
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.script import SCRIPT


def open_launcher(
    log: Path,
    family: str | None = None,
    *,
    stages: int = 1,
    calls: tuple[Call, ...] = (),
    trains: bool = True,
) -> LocalLauncher:
    """A launcher on this machine for the attempts and calls of one command; nothing is started yet.

    Args:
        log: what its processes print that belongs to no rank.
        family: whose libraries are imported ahead, where it is known.
        stages: that a model is cut into.
        calls: what will be called, and is imported ahead.
        trains: attempts will be launched; otherwise what only they need is not imported ahead.
    """
    preload = (*(call.module for call in calls), *(modules_of(family, stages) if family else ()))
    return LocalLauncher(log=log, preload=preload, trains=trains, scripts=family == SCRIPT)


def open_study_launcher(
    folder: StudyFolder,
    wanted: LauncherSettings,
    *,
    family: str,
    stages: int,
    processes: int,
    say: Callable[[str], None],
) -> Launcher:
    """The launcher that a study's settings ask for.

    Args:
        folder: of the study.
        wanted: those settings.
        family: of the study.
        stages: that a model is cut into.
        processes: of a trial.
        say: tells people a sentence.

    Raises:
        SettingsError: what it needs is not there, or jobs of the study run elsewhere.
    """
    on_cluster = wanted.kind == "slurm"
    log = folder.path / "forkserver.log"
    local = open_launcher(log, family, stages=stages, trains=not on_cluster)
    if not on_cluster:
        _refuse_jobs(folder)
        return local
    try:
        from orchestrator.launcher.slurm.launcher import SlurmLauncher
    except ModuleNotFoundError as error:
        if error.name != "submitit":
            raise
        raise SettingsError(
            "slurm needs submitit, which is not installed; run scripts/setup.sh slurm",
            key="launcher.kind",
        ) from None
    return SlurmLauncher(
        jobs=folder.jobs,
        launcher=wanted,
        name=lambda number: job_name(folder, number),
        family=family,
        stages=stages,
        processes=max(1, processes // wanted.nodes),
        local=local,
        say=say,
    )


def leave_signals() -> tuple[signal.Signals, ...]:
    """Signals by which an orchestrator leaves without stopping trials: where it is a job itself.

    Before its time limit Slurm sends it one, and the other where it has to make room.
    """
    return (signal.SIGUSR2, signal.SIGTERM) if DETACHED in os.environ else ()


def job_name(folder: StudyFolder, last: str | int) -> str:
    """What a job of a study is called; studies with one name in other folders have other names."""
    return f"{folder.name}.{_mark(folder)}.{last}"


def _mark(folder: StudyFolder) -> str:
    return hashlib.sha256(str(folder.path.absolute()).encode()).hexdigest()[:8]


def _refuse_jobs(folder: StudyFolder) -> None:
    """Make sure that no job of a cluster still works on the study's trials."""
    live = [path for path in folder.jobs.glob("*") if path.name.isdigit()]
    if live:
        raise SettingsError(
            f"found local, but trials of this study may still run in jobs of a cluster "
            f"({folder.jobs} holds {len(live)} that were not seen to end); go on with slurm, or "
            "end them by --cancel",
            key="launcher.kind",
        )
