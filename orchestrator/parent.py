"""Dependent studies: their trials start from a model that another study has trained.

Which one that is, is looked up when the study starts and never again: it is recorded in study.yml,
kept in the study's folder, and handed to the trials as recipe keys of their family.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.config import Layers
from orchestrator.errors import SettingsError, UserError
from orchestrator.find_study import read_study
from orchestrator.parent_choice import chosen_parent, parent_folder
from orchestrator.parent_keeping import check_kept, keep
from orchestrator.parent_record import FILE_KEY, SHA256_KEY, ParentRecord
from orchestrator.settings import Settings
from orchestrator.study_file import StudyFile
from orchestrator.trial_folder import StudyFolder


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
        key = str(error).partition(":")[0]
        raise SettingsError(f"{layers.source_of(key)}: {error}") from None
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


def _refuse_both(settings: Settings, layers: Layers) -> None:
    for section in ("recipe", "search"):
        for key in (FILE_KEY, SHA256_KEY):
            if key in getattr(settings, section):
                place = f"{section}.{key}"
                raise SettingsError(
                    f"{layers.source_of(place)}: {place}: found beside `parent`, which fills it "
                    "in; remove one of the two"
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
