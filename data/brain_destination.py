"""May a brain-MRI data set be written here?"""

from __future__ import annotations

from pathlib import Path

from data.brain_layout import PROVENANCE
from data.destination import is_filled
from orchestrator.errors import DataError

_OURS = {"Data", PROVENANCE, ".cache"}


def check_brain_destination(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that was not made here.

    Raises:
        DataError: it is taken.
    """
    if not is_filled(out):
        return
    if not overwrite:
        raise DataError(f"{out} exists already; give --overwrite to replace it, or another --out")
    if not out.is_dir():
        raise DataError(f"{out} is a file, expected a folder; give another --out")
    if not (out / PROVENANCE).is_file():
        raise DataError(
            f"{out} has no {PROVENANCE}, so it was not made by this command, and may hold scans "
            "that are nowhere else; give another --out"
        )
    foreign = sorted(path.name for path in out.iterdir() if path.name not in _OURS)
    if foreign:
        raise DataError(
            f"{out} holds {foreign[0]}, which is no part of such a data set, and would be deleted "
            "with the rest; move it away, or give another --out"
        )
