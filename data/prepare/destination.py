"""May a data set be written here, does it fit, and writing it whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data.caches.atomic_folder import build_folder, is_filled
from protocol.errors import DataError


def check_replaceable(
    out: Path, *, overwrite: bool, is_ours: Callable[[str], bool], note: str | None = None
) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that holds more than a data set.

    Args:
        is_ours: whether a file or folder of this name belongs to such a data set.
        note: a file without which the folder was not made by this program.

    Raises:
        DataError: it is taken.
    """
    if not is_filled(out):
        return
    if not overwrite:
        raise DataError(f"{out} exists already; give --overwrite to replace it, or another --out")
    if not out.is_dir():
        raise DataError(f"{out} is a file, expected a folder; give another --out")
    if note is not None and not (out / note).is_file():
        raise DataError(
            f"{out} has no {note}, so it was not made by this command, and may hold scans that "
            "are nowhere else; give another --out"
        )
    foreign = sorted(path.name for path in out.iterdir() if not is_ours(path.name))
    if foreign:
        raise DataError(
            f"{out} holds {foreign[0]}, which is no part of such a data set, and would be deleted "
            "with the rest; move it away, or give another --out"
        )


def check_room(out: Path, needed: float, *, lower: str, about: str = "") -> None:
    """Refuse to start what would fill the disk.

    Args:
        needed: bytes of the data set.
        lower: options that make it smaller.
        about: "about " where `needed` is an estimate.

    Raises:
        DataError: there is not so much room.
    """
    place = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(
            f"{out} needs {about}{needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB free; "
            f"free some, lower {lower}, or give another --out"
        )


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Say in a JSON file beside the data where it comes from."""
    text = json.dumps(record, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_data_set(out: Path, write: Callable[[Path], None], *, overwrite: bool) -> None:
    """Let `write` fill a folder that takes `out`'s place when it is whole.

    Raises:
        DataError: the folder cannot be written, or was made by another process meanwhile.
    """
    if not build_folder(out, write, overwrite=overwrite):
        raise DataError(f"{out} was made by another process in the meantime; look there")
