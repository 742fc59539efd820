"""The dashboard's copies of the pictures against what they are copies of."""

from __future__ import annotations

import optuna
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import FrozenTrial

from orchestrator.verifying.findings import Report
from protocol.files import sha256_of
from protocol.folders import StudyFolder
from protocol.messages import load_outcome


def check_artifacts(
    report: Report, study: optuna.Study, folder: StudyFolder, trial: FrozenTrial
) -> None:
    """Every picture that the dashboard has of an ended trial is there and as it was drawn."""
    outcome = load_outcome(folder.trial(trial.number).outcome)
    if outcome is None:
        return
    for meta in get_all_artifact_meta(trial, storage=study._storage):
        recorded = outcome.sha256.get(f"pictures/{meta.filename}")
        copy = folder.artifacts / meta.artifact_id
        place = f"{folder.artifacts.name}/{meta.artifact_id} ({meta.filename})"
        report.looked["picture"] += 1
        if not copy.exists():
            report.add(place, "is missing")
        elif recorded is not None and sha256_of(copy, fresh=False) != recorded:
            report.add(place, "is not the picture that was drawn")
