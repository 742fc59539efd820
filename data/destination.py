"""May a data set be written here, and does it fit?"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from data.geometry import ParallelGeometry
from data.lodopab_layout import PROVENANCE
from orchestrator.errors import DataError

_OURS = re.compile(
    r"(observation|ground_truth)_(train|validation|test)_\d{3,}\.hdf5"
    r"|patient_ids_rand_(train|validation|test)\.csv|\.cache|" + re.escape(PROVENANCE)
)


def is_filled(folder: Path) -> bool:
    """Whether something is there: a file, or a folder with anything in it.

    Raises:
        DataError: this user may not look.
    """
    try:
        return folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None)
    except OSError as error:
        raise DataError(f"{folder} cannot be looked into ({error})") from error


def check_destination(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is taken; with `overwrite`, one that holds more than LoDoPaB's files.

    Raises:
        DataError: it is taken.
    """
    check_replaceable(out, overwrite=overwrite, is_ours=lambda name: bool(_OURS.fullmatch(name)))


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


def check_room(out: Path, geometry: ParallelGeometry, images: int) -> None:
    """Refuse to start what would fill the disk.

    Raises:
        DataError: there is not room for so many images.
    """
    values = geometry.angles * geometry.detectors + geometry.image_size**2
    needed = 4 * values * images
    place = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(
            f"{out} needs {needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB free; free "
            "some, lower --image_size, --angles or --detectors, or give another --out"
        )
