"""Which libraries a study is mirrored to, as its settings ask."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from orchestrator.settings.schema import NotifySettings, TrackingSettings
from orchestrator.tracking.state import tracked_folder
from orchestrator.tracking.tracker import Tracker
from protocol.folders import StudyFolder

_KEY = "WANDB_API_KEY"
_MODE = "WANDB_MODE"
_NOT_ONLINE = ("offline", "dryrun", "disabled")
# Of a run or sweep that this program was started in: ours are the trials', under ids of their own.
_OTHERS_RUN = ("ID", "RESUME", "GROUP", "NAME", "JOB_TYPE", "TAGS", "NOTES")
_OTHERS = ("WANDB_SWEEP_ID", "WANDB_NAME", "WANDB_RESUME", "WANDB_NOTES", "WANDB_TAGS")


def start_trackers(
    folder: StudyFolder, settings: TrackingSettings, notify: NotifySettings
) -> list[Tracker]:
    """Begin what the settings ask for, if anything."""
    found = []
    if settings.wandb != "off":
        found.append(start_wandb(folder, settings))
    if settings.tensorboard:
        found.append(start_tensorboard(folder))
    if notify.used:
        found.append(start_notices(folder, notify))
    return found


def start_notices(folder: StudyFolder, settings: NotifySettings) -> Tracker:
    """Begin to tell people."""
    options = ["--of", ",".join(settings.of)]
    options += ["--command", settings.command] if settings.command else []
    options += ["--variable", settings.variable] if settings.variable else []
    return Tracker.start(folder, "notify", options=options, environment=os.environ, sentence="")


def start_tensorboard(folder: StudyFolder) -> Tracker:
    """Begin to write event files of TensorBoard."""
    place = tracked_folder(folder, "tensorboard")
    return Tracker.start(
        folder,
        "tensorboard",
        environment=os.environ,
        sentence=f"TensorBoard: tensorboard --logdir {place}",
    )


def start_wandb(folder: StudyFolder, settings: TrackingSettings) -> Tracker:
    """Begin runs of W&B, online or offline."""
    if os.environ.get(_MODE) == "disabled":
        return Tracker(None, f"W&B is not used: {_MODE}=disabled")
    mode = mode_for(settings, os.environ)
    options = ["--mode", mode, "--project", settings.project]
    options += ["--entity", settings.entity] if settings.entity else []
    return Tracker.start(
        folder,
        "wandb",
        options=options,
        environment=_environment(folder, mode),
        sentence=_sentence(folder, settings, mode),
    )


def mode_for(
    settings: TrackingSettings, environment: Mapping[str, str]
) -> Literal["online", "offline"]:
    """Online needs a key in the environment, and nothing there that is against it."""
    wanted = settings.wandb in ("auto", "online") and environment.get(_MODE) not in _NOT_ONLINE
    return "online" if wanted and environment.get(_KEY) else "offline"


def _environment(folder: StudyFolder, mode: str) -> dict[str, str]:
    environment = dict(os.environ)
    if mode == "offline":
        environment.pop(_KEY, None)
    for name in (*_OTHERS, *(f"WANDB_RUN_{what}" for what in _OTHERS_RUN), "WANDB_JOB_TYPE"):
        environment.pop(name, None)
    environment[_MODE] = mode
    # Nothing of it belongs into the user's home.
    own = tracked_folder(folder, "wandb").absolute() / "own"
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        environment.setdefault(name, str(own))
    return environment


def _sentence(folder: StudyFolder, settings: TrackingSettings, mode: str) -> str:
    if mode == "online":
        return f"W&B: project {settings.project}, group {folder.name}"
    forbidden = os.environ.get(_MODE) in _NOT_ONLINE
    reason = f"of {_MODE}" if forbidden else f"{_KEY} is not set"
    why = "" if settings.wandb == "offline" else f", because {reason}"
    place = tracked_folder(folder, "wandb")
    return f"W&B: offline{why}; to send it later: wandb sync {place}/offline-run-*"
