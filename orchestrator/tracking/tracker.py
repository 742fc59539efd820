"""The orchestrator's end of tracking: starts the process, and lets it end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from orchestrator.settings.schema import TrackingSettings
from orchestrator.tracking.state import log_file, wandb_folder
from protocol.folders import StudyFolder

log = logging.getLogger(__name__)

FLUSH_SECONDS = 15.0  # that the process may take to send what is left
_ROOT = Path(__file__).resolve().parents[2]
_KEY = "WANDB_API_KEY"
_MODE = "WANDB_MODE"
_NOT_ONLINE = ("offline", "dryrun", "disabled")
# Of a run or sweep that this program was started in: ours are the trials', under ids of their own.
_OTHERS_RUN = ("ID", "RESUME", "GROUP", "NAME", "JOB_TYPE", "TAGS", "NOTES")
_OTHERS = ("WANDB_SWEEP_ID", "WANDB_NAME", "WANDB_RESUME", "WANDB_NOTES", "WANDB_TAGS")


class Tracker:
    """A process that mirrors the study's trials; it ends when this one closes it, or dies."""

    def __init__(self, process: subprocess.Popen[bytes] | None, sentence: str) -> None:
        self._process = process
        self.sentence = sentence  # what the user should know, or nothing

    @classmethod
    def start(cls, folder: StudyFolder, settings: TrackingSettings) -> Self:
        """Begin tracking as the settings ask; `off` is a tracker that does nothing."""
        if settings.wandb == "off":
            return cls(None, "")
        if os.environ.get(_MODE) == "disabled":
            return cls(None, f"W&B is not used: {_MODE}=disabled")
        mode = mode_for(settings, os.environ)
        try:
            wandb_folder(folder).mkdir(parents=True, exist_ok=True)
            process = _launch(folder, settings, mode)
        except OSError:
            log.exception("tracking could not be started")
            return cls(None, f"W&B is not used: its process could not start; see {folder.log}")
        return cls(process, _sentence(folder, settings, mode))

    def close(self) -> None:
        """Let the process send what is left, for a bounded time. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()  # the sign to end
        try:
            process.wait(FLUSH_SECONDS + 5.0)
        except subprocess.TimeoutExpired:
            log.warning("tracking did not end by itself and was killed")
            process.kill()
            process.wait()


def mode_for(
    settings: TrackingSettings, environment: Mapping[str, str]
) -> Literal["online", "offline"]:
    """Online needs a key in the environment, and nothing there that is against it."""
    wanted = settings.wandb in ("auto", "online") and environment.get(_MODE) not in _NOT_ONLINE
    return "online" if wanted and environment.get(_KEY) else "offline"


def _launch(folder: StudyFolder, settings: TrackingSettings, mode: str) -> subprocess.Popen[bytes]:
    # -P: a folder of the user's must not shadow a package.
    command = [sys.executable, "-P", "-m", "orchestrator.tracking", str(folder.path.absolute())]
    command += ["--mode", mode, "--project", settings.project]
    command += ["--entity", settings.entity] if settings.entity else []
    command += ["--flush_seconds", str(FLUSH_SECONDS)]
    environment = _environment(folder, mode)
    with log_file(folder).open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,  # ^C is for the orchestrator, which then closes this one
        )


def _environment(folder: StudyFolder, mode: str) -> dict[str, str]:
    environment = dict(os.environ)
    if mode == "offline":
        environment.pop(_KEY, None)
    for name in (*_OTHERS, *(f"WANDB_RUN_{what}" for what in _OTHERS_RUN), "WANDB_JOB_TYPE"):
        environment.pop(name, None)
    environment[_MODE] = mode
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), path)))
    # Nothing of it belongs into the user's home.
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        environment.setdefault(name, str(wandb_folder(folder).absolute() / "own"))
    return environment


def _sentence(folder: StudyFolder, settings: TrackingSettings, mode: str) -> str:
    if mode == "online":
        return f"W&B: project {settings.project}, group {folder.name}"
    forbidden = os.environ.get(_MODE) in _NOT_ONLINE
    reason = f"of {_MODE}" if forbidden else f"{_KEY} is not set"
    why = "" if settings.wandb == "offline" else f", because {reason}"
    return f"W&B: offline{why}; to send it later: wandb sync {wandb_folder(folder)}/offline-run-*"
