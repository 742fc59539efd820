"""May a data set of X-ray/CT pairs be written here?"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from data.destination import check_replaceable
from data.xray_ct_layout import read_note
from data.xray_ct_phantoms import NOTE
from data.xray_ct_splits import SPLITS_CSV

_OURS = {NOTE, SPLITS_CSV, "CT_pt", "DRR_mod", ".cache"}


def check_xray_ct_destination(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that was not made here.

    Raises:
        DataError: it is taken.
    """

    @cache
    def ours() -> set[str]:
        return _OURS | set(read_note(out).voxel_size)  # folders of cases

    check_replaceable(out, overwrite=overwrite, is_ours=lambda name: name in ours(), note=NOTE)
