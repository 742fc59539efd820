"""The one place that chooses a launcher."""

from __future__ import annotations

from pathlib import Path

from orchestrator.launcher.base import Launcher
from orchestrator.launcher.local import LocalLauncher
from orchestrator.launcher.preload import modules_of
from protocol.doors import Call


def open_launcher(
    log: Path,
    family: str | None = None,
    *,
    stages: int = 1,
    calls: tuple[Call, ...] = (),
    trains: bool = True,
) -> Launcher:
    """A launcher for the attempts and calls of one command; nothing is started yet.

    Args:
        log: what its processes print that belongs to no rank.
        family: whose libraries are imported ahead, where it is known.
        stages: that a model is cut into.
        calls: what will be called, and is imported ahead.
        trains: attempts will be launched; otherwise what only they need is not imported ahead.
    """
    preload = (*(call.module for call in calls), *(modules_of(family, stages) if family else ()))
    return LocalLauncher(log=log, preload=preload, trains=trains)
