"""Dependent studies: their trials start from a model that another study has trained.

Which one that is, is looked up when the study starts and never again: it is recorded in study.yml,
kept in the study's folder, and handed to the trials as recipe keys of their family.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator import words
from orchestrator.settings.layers import Layers
from orchestrator.settings.schema import ParentSettings, Settings
from orchestrator.study.find import read_study, with_checkpoint
from orchestrator.study.holding.lock import live_holder
from orchestrator.study.parent_copy import check_kept, keep
from orchestrator.study.parent_record import ParentRecord
from orchestrator.study.peek import ancestors, peek
from orchestrator.study.record import StudyRecord, TrialRecord
from orchestrator.study.study_file import StudyFile
from protocol.errors import SettingsError, UserError
from protocol.files import sha256_of
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import Plan, load_plan
from protocol.recipe import FILE_KEY, SHA256_KEY


def adopt(
    folder: StudyFolder, settings: Settings, layers: Layers, earlier: StudyFile | None
) -> tuple[ParentRecord | None, list[str]]:
    """The parent of the study in `folder`, kept there, and sentences about it.

    Args:
        earlier: of a study that goes on; it keeps the parent that it was begun with.

    Raises:
        SettingsError: there is no such parent; the sentence names the key and its file.
        CheckpointError: the parent's checkpoint is gone, or is not what it was.
    """
    if settings.parent is None:
        return None, []
    _refuse_both(settings, layers)
    if earlier is not None:
        return recorded(folder, earlier)
    try:
        found, remarks = chosen_parent(folder, settings, settings.parent)
    except SettingsError as error:
        raise layers.placed(error) from None
    sha256 = keep(Path(found.checkpoint), folder)
    record = found.model_copy(update={"sha256": sha256})
    return record, [f"parent: {record.told()}; kept as {folder.parent}", *remarks]


def recorded(folder: StudyFolder, known: StudyFile) -> tuple[ParentRecord | None, list[str]]:
    """The parent that an existing study was begun with, and sentences about it.

    Raises:
        SettingsError: the record is not in study.yml any more.
        CheckpointError: the parent's checkpoint is gone, or is not what it was.
    """
    if known.settings.parent is None:
        return None, []
    record = known.parent
    if record is None:
        raise SettingsError(
            f"{folder.settings} no longer says which checkpoint the study's parent is; put its "
            "`parent` section back, or start a new study"
        )
    return record, [*check_kept(folder, record), *_better_one(folder, known.settings, record)]


def relocated(
    folder: StudyFolder, settings: Settings, record: ParentRecord | None
) -> ParentRecord | None:
    """The record of a parent that lies elsewhere by now; None where it is not there, or another."""
    parent = settings.parent
    if parent is None or record is None:
        return None
    if parent.checkpoint is not None:
        file, study = Path(parent.checkpoint), None
    elif parent.study is not None and parent.trial in ("best", record.trial):
        source = parent_folder(folder, parent.study)
        file, study = source.trial(record.trial or 0).best, str(source.path.resolve())
    else:
        return None
    if not file.is_file() or sha256_of(file) != record.sha256:
        return None
    return record.model_copy(update={"checkpoint": str(file.resolve()), "study": study})


def _refuse_both(settings: Settings, layers: Layers) -> None:
    for section in ("recipe", "search"):
        for key in (FILE_KEY, SHA256_KEY):
            if key in getattr(settings, section):
                place = f"{section}.{key}"
                raise SettingsError(
                    "found beside `parent`, which fills it in; remove one of the two",
                    key=place,
                    source=layers.source_of(place),
                )


def _better_one(folder: StudyFolder, settings: Settings, record: ParentRecord) -> list[str]:
    """Word of a parent study that has found something better since."""
    parent = settings.parent
    if parent is None or parent.study is None or parent.trial != "best":
        return []
    try:
        best = read_study(parent_folder(folder, parent.study)).best
    except UserError:
        return []  # it may be gone: what this study needs of it is kept here
    if best is None or best.number == record.trial:
        return []
    return [
        f"the best trial of study {Path(parent.study).name} is {best.number} by now; this study "
        f"stays with trial {record.trial}, from which it was begun"
    ]


def chosen_parent(
    folder: StudyFolder, settings: Settings, parent: ParentSettings
) -> tuple[ParentRecord, list[str]]:
    """What `parent` of the study in `folder` means now, and what its user should know of it.

    The record's digest is still empty: it is that of the file which the study keeps.

    Raises:
        SettingsError: there is no such study, trial or file; carries the key.
    """
    if parent.study is None:
        return ParentRecord(checkpoint=_given_file(parent), sha256=""), []
    source = parent_folder(folder, parent.study)
    _refuse_circle(folder, source)
    try:
        record = read_study(source)
    except SettingsError as error:
        raise error.at(key="parent.study") from None
    trial = _chosen_trial(record, parent)
    try:
        chosen = with_checkpoint(source, trial)
    except SettingsError as error:
        raise SettingsError(
            f"{error}; choose another trial of study {record.name!r}, or train it again",
            key="parent.trial",
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
            f"there is no file {path}; expected the best.pth of a trial or of an export",
            key="parent.checkpoint",
        )
    return str(path.resolve())


def _refuse_circle(folder: StudyFolder, source: StudyFolder) -> None:
    """A study that were its own ancestor would have to be trained before itself."""
    own = folder.path.resolve()
    if source.path.resolve() == own:
        raise SettingsError(
            f"found {source.name!r}, which is this study itself; name another one",
            key="parent.study",
        )
    if any(parent.study == str(own) for parent in ancestors(source)):
        raise SettingsError(
            f"{source.name!r} descends from a study {folder.name!r} itself; choose "
            "another --study_name",
            key="parent.study",
        )


def _chosen_trial(record: StudyRecord, parent: ParentSettings) -> TrialRecord:
    states = ", ".join(f"{count} {state}" for state, count in record.counts.items()) or "no trials"
    if parent.trial == "best":
        if record.best is None:
            raise SettingsError(
                f"no trial of study {record.name!r} is complete ({states}), so there "
                "is no best one to start from; let it go on first, or name another study",
                key="parent.study",
            )
        return record.best
    trial = record.trial(parent.trial)
    if trial is None:
        last = len(record.trials) - 1
        there = f"0 to {last}" if last >= 0 else "none yet"
        raise SettingsError(
            f"study {record.name!r} has no trial {parent.trial}; it has {there}", key="parent.trial"
        )
    if trial.state != "complete":
        ranked = [str(other.number) for other in record.ranked[:5]]
        others = f"complete are {', '.join(ranked)}" if ranked else f"none is complete ({states})"
        raise SettingsError(
            f"trial {trial.number} of study {record.name!r} is {trial.state}, "
            f"expected a complete one; {others}",
            key="parent.trial",
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
