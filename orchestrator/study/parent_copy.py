"""A dependent study's own hold on its parent's checkpoint: runs/<study>/parent.pth.

It is a second name of the parent's file, or a copy on another file system. Checkpoints are only
ever replaced or removed, never written into, so that neither `keep.best_trials` of the parent nor
a parent study that is deleted takes it away.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from orchestrator.study.parent_record import ParentRecord
from protocol.errors import CheckpointError
from protocol.files import copy_verified, partial, sha256_of, sync_folder
from protocol.folders import StudyFolder


def keep(source: Path, folder: StudyFolder) -> str:
    """Keep the file `source` as the parent of the study in `folder`; its SHA-256.

    Raises:
        CheckpointError: it has gone, or cannot be read or copied.
    """
    kept = folder.parent
    temporary = partial(kept)
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        try:
            os.link(source, temporary)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, one without links, or another user's file
            return copy_verified(source, kept)
        temporary.replace(kept)
        # Of two names of one file, renaming one to the other removes neither.
        temporary.unlink(missing_ok=True)
        sync_folder(folder.path)
        return sha256_of(kept)
    except OSError as error:
        raise CheckpointError(
            f"the parent's checkpoint {source} cannot be kept as {kept}: {error}"
        ) from error


def check_kept(folder: StudyFolder, record: ParentRecord) -> list[str]:
    """Make sure that the study's parent is what it was; what had to be done for that.

    Raises:
        CheckpointError: it is gone, or has changed.
    """
    kept, original = folder.parent, Path(record.checkpoint)
    remarks = []
    if not kept.is_file():
        _restore(folder, record)
        remarks.append(f"{kept} was gone, and was taken from {original} again")
    found = sha256_of(kept)
    if found != record.sha256:
        raise CheckpointError(
            f"{kept}, from which this study's trials start, has changed since the study began: its "
            f"SHA-256 is {found[:12]}…, recorded is {record.sha256[:12]}…; put back what was there "
            f"(it came from {original}), or start a new study"
        )
    if original.is_file() and not original.samefile(kept):
        _refuse_changed(original, kept, record)
    return remarks


def _restore(folder: StudyFolder, record: ParentRecord) -> None:
    original = Path(record.checkpoint)
    if not original.is_file() or sha256_of(original) != record.sha256:
        state = "has changed" if original.is_file() else "is gone as well"
        raise CheckpointError(
            f"{folder.parent}, from which this study's trials start, is gone, and {original}, "
            f"where it came from, {state}; put one of them back, or start a new study"
        )
    keep(original, folder)


def _refuse_changed(original: Path, kept: Path, record: ParentRecord) -> None:
    """Another parent under the same name is what a reader of the results would take for theirs."""
    found = sha256_of(original)
    if found != record.sha256:
        raise CheckpointError(
            f"{original}, the parent of this study, has changed since the study began: its SHA-256 "
            f"is {found[:12]}…, recorded is {record.sha256[:12]}…; put it back from {kept}, which "
            "still holds it, or start a new study"
        )
