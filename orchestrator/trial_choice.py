"""Which trial is meant by `best` or a number."""

from __future__ import annotations

from orchestrator.errors import SettingsError
from orchestrator.find_study import read_study
from orchestrator.record import StudyRecord, TrialRecord
from orchestrator.trial_folder import StudyFolder, TrialFolder


def resolve_trial(folder: StudyFolder, which: str) -> TrialFolder:
    """The folder of the trial that `which` names, with a checkpoint in it.

    Raises:
        SettingsError: there is no such study or trial, or it has no checkpoint.
    """
    return with_checkpoint(folder, chosen_trial(read_study(folder), which))


def with_checkpoint(folder: StudyFolder, trial: TrialRecord) -> TrialFolder:
    """The trial's folder, if its best checkpoint is there.

    Raises:
        SettingsError: it is not; says why, as far as can be known.
    """
    chosen = folder.trial(trial.number)
    if not chosen.best.exists():
        raise SettingsError(_without_checkpoint(trial, chosen))
    return chosen


def chosen_trial(record: StudyRecord, which: str) -> TrialRecord:
    """The trial that `which` names.

    Raises:
        SettingsError: there is no such trial, or none is complete.
    """
    if which == "best":
        if record.best is None:
            raise SettingsError(_none_complete(record))
        return record.best
    if not which.isdecimal():
        raise SettingsError(f"--trial: found {which!r}, expected `best` or a trial's number")
    trial = record.trial(int(which))
    if trial is None:
        last = len(record.trials) - 1
        there = f"0 to {last}" if last >= 0 else "none yet"
        raise SettingsError(f"--trial: study {record.name!r} has no trial {which}; it has {there}")
    return trial


def _none_complete(record: StudyRecord) -> str:
    counts = record.counts
    states = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no trials"
    return (
        f"no trial of study {record.name!r} is complete, so there is no best one ({states}); "
        "`status` says why each ended, and --trial takes a number"
    )


def _without_checkpoint(trial: TrialRecord, folder: TrialFolder) -> str:
    if trial.state in ("running", "waiting"):
        why = "it has not validated an epoch yet"
    elif trial.best_epoch:
        why = "it was removed, as `keep.best_trials` asks, or by hand"
    else:
        why = "the trial ended before it had validated an epoch"
    return f"trial {trial.number} has no checkpoint: there is no {folder.best}; {why}"
