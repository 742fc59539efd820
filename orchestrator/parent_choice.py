"""Which checkpoint a `parent` section means, at the moment when the study starts."""

from __future__ import annotations

from pathlib import Path

from orchestrator import words
from orchestrator.ancestry import ancestors
from orchestrator.errors import SettingsError
from orchestrator.find_study import read_study
from orchestrator.holder import live_holder
from orchestrator.messages import Plan, load_plan
from orchestrator.parent_record import ParentRecord
from orchestrator.parent_settings import ParentSettings
from orchestrator.record import StudyRecord, TrialRecord
from orchestrator.settings import Settings
from orchestrator.study_peek import peek
from orchestrator.trial_choice import with_checkpoint
from orchestrator.trial_folder import StudyFolder, TrialFolder


def chosen_parent(
    folder: StudyFolder, settings: Settings, parent: ParentSettings
) -> tuple[ParentRecord, list[str]]:
    """What `parent` of the study in `folder` means now, and what its user should know of it.

    The record's digest is still empty: it is that of the file which the study keeps.

    Raises:
        SettingsError: there is no such study, trial or file; the sentence begins with the key.
    """
    if parent.study is None:
        return ParentRecord(checkpoint=_given_file(parent), sha256=""), []
    source = parent_folder(folder, parent.study)
    _refuse_circle(folder, source)
    try:
        record = read_study(source)
    except SettingsError as error:
        raise SettingsError(f"parent.study: {error}") from None
    trial = _chosen_trial(record, parent)
    try:
        chosen = with_checkpoint(source, trial)
    except SettingsError as error:
        raise SettingsError(
            f"parent.trial: {error}; choose another trial of study {record.name!r}, or train it "
            "again"
        ) from None
    plan = _plan(chosen)
    found = ParentRecord(
        checkpoint=str(chosen.best.resolve()),
        sha256="",
        study=str(source.path.resolve()),
        trial=trial.number,
        family=plan.family if plan else None,
        metric=peek(source).metric,
        value=trial.value,
        epoch=trial.best_epoch or None,
    )
    return found, _remarks(source, plan, settings)


def parent_folder(folder: StudyFolder, study: str) -> StudyFolder:
    """The folder of the study that is called `study` in the settings of the one in `folder`."""
    beside = folder.path.parent
    return StudyFolder(Path(study) if "/" in study else beside / study)


def _given_file(parent: ParentSettings) -> str:
    path = Path(parent.checkpoint or "")
    if not path.is_file():
        raise SettingsError(
            f"parent.checkpoint: there is no file {path}; expected the best.pth of a trial or of "
            "an export"
        )
    return str(path.resolve())


def _refuse_circle(folder: StudyFolder, source: StudyFolder) -> None:
    """A study that were its own ancestor would have to be trained before itself."""
    own = folder.path.resolve()
    if source.path.resolve() == own:
        raise SettingsError(
            f"parent.study: found {source.name!r}, which is this study itself; name another one"
        )
    if any(parent.study == str(own) for parent in ancestors(source)):
        raise SettingsError(
            f"parent.study: {source.name!r} descends from a study {folder.name!r} itself; choose "
            "another --study_name"
        )


def _chosen_trial(record: StudyRecord, parent: ParentSettings) -> TrialRecord:
    states = ", ".join(f"{count} {state}" for state, count in record.counts.items()) or "no trials"
    if parent.trial == "best":
        if record.best is None:
            raise SettingsError(
                f"parent.study: no trial of study {record.name!r} is complete ({states}), so there "
                "is no best one to start from; let it go on first, or name another study"
            )
        return record.best
    trial = record.trial(parent.trial)
    if trial is None:
        last = len(record.trials) - 1
        there = f"0 to {last}" if last >= 0 else "none yet"
        raise SettingsError(
            f"parent.trial: study {record.name!r} has no trial {parent.trial}; it has {there}"
        )
    if trial.state != "complete":
        ranked = [str(other.number) for other in record.ranked[:5]]
        others = f"complete are {', '.join(ranked)}" if ranked else f"none is complete ({states})"
        raise SettingsError(
            f"parent.trial: trial {trial.number} of study {record.name!r} is {trial.state}, "
            f"expected a complete one; {others}"
        )
    return trial


def _plan(trial: TrialFolder) -> Plan | None:
    try:
        return load_plan(trial.plan)
    except (OSError, ValueError):
        return None


def _remarks(source: StudyFolder, plan: Plan | None, settings: Settings) -> list[str]:
    remarks = []
    holder = live_holder(source.lock)
    if holder is not None:
        remarks.append(
            f"study {source.name} is still running, in process {holder.pid} on {holder.host}: a "
            "better trial that it may find later does not change this study"
        )
    theirs, ours = (plan.data if plan else {}).get("root"), settings.data.get("root")
    if theirs is not None and theirs != ours:
        remarks.append(
            f"the parent was trained on other data ({words.setting(theirs)}): make sure that it "
            "has not seen what this study validates on"
        )
    return remarks
