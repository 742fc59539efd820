"""A trial's pictures as artifacts that the dashboard shows beside it."""

from __future__ import annotations

import filecmp
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from orchestrator.trial_folder import StudyFolder, TrialFolder


def upload_pictures(trial: optuna.Trial, study: StudyFolder, folder: TrialFolder) -> None:
    """Let the dashboard show every picture of the trial once, as it is now.

    Safe to repeat: a picture that is there stays, one that was drawn anew takes its place, and
    one that a kill left half-written is written again. The trial must not have been told yet,
    for Optuna takes no new artifact of a finished one.
    """
    pictures = sorted(folder.pictures.glob("*.png"))
    if not pictures:
        return
    study.artifacts.mkdir(exist_ok=True)
    store = FileSystemArtifactStore(study.artifacts)
    known = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(trial)}
    for picture in pictures:
        identity = known.get(picture.name)
        if identity is None:
            upload_artifact(artifact_store=store, file_path=str(picture), study_or_trial=trial)
        elif not _same(picture, study.artifacts / identity):
            with picture.open("rb") as stream:
                store.write(identity, stream)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and filecmp.cmp(one, other, shallow=False)
