"""`verify`: whether everything that a study's folder and database say fits together."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import optuna
from rich.text import Text

from orchestrator import words
from orchestrator.launcher.base import Launcher
from orchestrator.launcher.open import open_launcher
from orchestrator.live.console import PatientConsole
from orchestrator.proposing.decisions import read_decisions
from orchestrator.study.journal import read_journal
from orchestrator.study.ranking import best_trial
from orchestrator.study.study_file import StudyFile, read_study_file
from orchestrator.verifying.artifacts import check_artifacts
from orchestrator.verifying.checkpoints import check_checkpoints
from orchestrator.verifying.data import check_data
from orchestrator.verifying.findings import Report
from orchestrator.verifying.opened import opened_copy
from orchestrator.verifying.replay import check_decisions, check_suggestions
from orchestrator.verifying.requests import check_requests
from orchestrator.verifying.trials import TrialChecker, check_numbers
from protocol.doors import Call
from protocol.errors import SettingsError
from protocol.folders import StudyFolder

_FITS, _DOES_NOT = 0, 1


def verify_study(folder: StudyFolder) -> int:
    """Print each thing that does not fit with its place, or that all does; the exit code.

    Raises:
        SettingsError: there is no such study.
        UserError: it cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console = PatientConsole()
    with (
        opened_copy(folder) as study,
        tempfile.NamedTemporaryFile(prefix="tomostudy-", suffix=".log") as log,
        closing(open_launcher(Path(log.name), trains=False)) as launcher,
        console.status("reading the record and the checkpoints"),
    ):
        report = verified(folder, study, launcher)
    for finding in report.found:
        console.print(
            Text.assemble((finding.place, "bold"), f": {finding.problem}"), soft_wrap=True
        )
    for sentence in report.unknown:
        console.print(Text(f"Not checked: {sentence}", style="dim"), soft_wrap=True)
    looked = ", ".join(words.counted(count, what) for what, count in report.looked.items())
    if report.found:
        things = words.counted(len(report.found), "thing")
        fit = "does not fit" if len(report.found) == 1 else "do not fit"
        console.print(Text(f"{things} in {folder.path} {fit}, of {looked}."), soft_wrap=True)
        return _DOES_NOT
    console.print(Text(f"All fits: {looked}."), soft_wrap=True)
    return _FITS


def verified(folder: StudyFolder, study: optuna.Study, launcher: Launcher) -> Report:
    """Everything that can be checked of a study that is open to be read."""
    report = Report()
    known = _study_file(folder)
    settings = known.settings
    check_data(report, folder, known)
    check_numbers(report, study, folder)
    by_fold = settings.pruner.kind == "wilcoxon"
    checker = TrialChecker(report, folder, settings.objective, by_fold)
    for trial in study.get_trials(deepcopy=False):
        checker.check(trial)
        check_artifacts(report, study, folder, trial)
    journal = read_journal(folder)
    check_suggestions(report, study, journal)
    check_decisions(report, study, journal, read_decisions(folder))
    check_checkpoints(
        report,
        folder,
        study.get_trials(deepcopy=False),
        lambda paths: launcher.call(Call.DIGESTS, {"paths": paths}),
    )
    check_requests(report, study, folder)
    _check_best(report, study, folder)
    return report


def _study_file(folder: StudyFolder) -> StudyFile:
    known = read_study_file(folder)
    if known is None:
        raise SettingsError(f"{folder.settings} is missing: it says what was searched for")
    return known


def _check_best(report: Report, study: optuna.Study, folder: StudyFolder) -> None:
    best = best_trial(study)
    if best is None:
        return
    led = folder.best.readlink().name if folder.best.is_symlink() else "nothing"
    if led != f"trial_{best.number}":
        report.add(folder.best.name, f"leads to {led}, but the best trial is {best.number}")
