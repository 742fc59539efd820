"""A folder that appears whole or not at all, also when built twice at once or killed midway."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from protocol.errors import DataError


def build_folder(folder: Path, write: Callable[[Path], None], *, overwrite: bool = False) -> bool:
    """Let `write` fill a temporary sibling of `folder`, then rename it.

    A lock file beside the folder, kept afterwards, lets one process build while others wait.
    What a killed build left behind is removed by the next one.

    Returns:
        False if the folder was there already, and `overwrite` not set; nothing was written.

    Raises:
        DataError: the place cannot be written to, or is full.
        Whatever `write` raises; nothing is left behind then.
    """
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            return _build_alone(folder, write, overwrite)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror or error}); free some space, or name "
            "another folder"
        ) from error


def _build_alone(folder: Path, write: Callable[[Path], None], overwrite: bool) -> bool:
    for remains in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
        shutil.rmtree(remains)
    if is_filled(folder) and not overwrite:
        return False
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        partial.chmod(0o755)  # mkdtemp's folders are closed to others; data is to be shared
        write(partial)
        _flush(partial)
        _replace(folder, partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return True


def _replace(folder: Path, partial: Path) -> None:
    """Put the new folder in the old one's place; the old one is deleted only after that."""
    if not is_filled(folder):
        partial.rename(folder)  # replaces an empty folder
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-old-", dir=folder.parent))
    folder.rename(old / folder.name)
    try:
        partial.rename(folder)
    except OSError:
        (old / folder.name).rename(folder)
        raise
    shutil.rmtree(old)


def _flush(folder: Path) -> None:
    """Have the files on disk before the rename is, or a power cut could leave empty ones."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_filled(folder: Path) -> bool:
    """Whether something is there: a file, or a folder with anything in it.

    Raises:
        DataError: this user may not look.
    """
    try:
        return folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None)
    except OSError as error:
        raise DataError(f"{folder} cannot be looked into ({error})") from error
