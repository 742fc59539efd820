"""Where tracking keeps its files, all of them in the study's folder."""

from __future__ import annotations

from pathlib import Path

from orchestrator.trial_folder import StudyFolder


def wandb_folder(study: StudyFolder) -> Path:
    """What Weights & Biases writes, online and offline; it names this folder itself."""
    return study.path / "wandb"


def log_file(study: StudyFolder) -> Path:
    """What tracking did, and what went wrong in it."""
    return wandb_folder(study) / "tracking.log"


def state_file(study: StudyFolder) -> Path:
    """How far each trial has been told."""
    return wandb_folder(study) / "tracked.json"
