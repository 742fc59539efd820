"""May a data set of X-ray/CT pairs be written here?"""

from __future__ import annotations

from pathlib import Path

from data.destination import is_filled
from data.xray_ct_layout import read_note
from data.xray_ct_phantoms import NOTE
from data.xray_ct_splits import SPLITS_CSV
from orchestrator.errors import DataError

_OURS = {NOTE, SPLITS_CSV, "CT_pt", "DRR_mod", ".cache"}


def check_xray_ct_destination(out: Path, *, overwrite: bool) -> None:
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
    if not (out / NOTE).is_file():
        raise DataError(
            f"{out} has no {NOTE}, so it was not made by this command, and may hold scans that "
            "are nowhere else; give another --out"
        )
    ours = _OURS | set(read_note(out).voxel_size)  # folders of cases
    foreign = sorted(path.name for path in out.iterdir() if path.name not in ours)
    if foreign:
        raise DataError(
            f"{out} holds {foreign[0]}, which is no part of such a data set, and would be deleted "
            "with the rest; move it away, or give another --out"
        )
