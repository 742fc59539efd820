"""May a brain-MRI data set be written here?"""

from __future__ import annotations

from pathlib import Path

from data.brain_layout import PROVENANCE
from data.destination import check_replaceable

_OURS = {"Data", PROVENANCE, ".cache"}


def check_brain_destination(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that was not made here.

    Raises:
        DataError: it is taken.
    """
    check_replaceable(out, overwrite=overwrite, is_ours=lambda name: name in _OURS, note=PROVENANCE)
