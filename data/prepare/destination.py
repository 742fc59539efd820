"""May a data set be written here, and does it fit?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.caches.atomic_folder import is_filled
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
