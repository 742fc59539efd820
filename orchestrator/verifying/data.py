"""The data that trials were trained on: still what the study and each plan know them by."""

from __future__ import annotations

from pathlib import Path

from orchestrator.study.inputs import EDITED, Input, caches_of, data_fingerprint
from orchestrator.study.study_file import StudyFile
from orchestrator.verifying.findings import Report
from protocol.errors import DataError
from protocol.fingerprint import digest, files_of
from protocol.folders import StudyFolder
from protocol.messages import load_plans


def check_data(report: Report, folder: StudyFolder, known: StudyFile) -> None:
    """Compare what lies at each place that the study reads, and what its plans were made for.

    Code of the user's own may be edited meanwhile, and is not compared.
    """
    caches = caches_of(known.settings.data, known.free)
    for key, place in known.inputs.items():
        if key not in EDITED:
            _check_place(report, key, place, caches)
    expected = data_fingerprint(known.inputs)
    for trial in folder.trials():
        for plan in load_plans(trial):
            if plan.data_fingerprint and plan.data_fingerprint != expected:
                where = trial.plans.relative_to(folder.path)
                report.add(where, f"attempt {plan.attempt} was planned for other data")


def _check_place(report: Report, key: str, place: Input, caches: list[Path]) -> None:
    path = Path(place.path)
    if not path.exists():
        report.cannot(f"{key}: {path} is not there, so that the data cannot be compared")
        return
    try:
        files = files_of(path, caches)
    except DataError as error:
        report.cannot(f"{key}: {error}")
        return
    report.looked["data file"] += len(files)
    if digest(files) != place.fingerprint:
        report.add(key, f"{path} does not hold what the study was begun with")
