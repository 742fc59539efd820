"""A data set of random chests with their X-rays, for trying things out.

Readers import this module for its settings, so what draws and writes is imported by the functions
that do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from data.destination import is_filled
from data.phantom_record import check_same_phantoms

NOTE = "xray_ct.json"

Progress = Callable[[int, int], None]  # called with (pairs done, pairs in all)

_log = logging.getLogger(__name__)


class XrayCtPhantomSettings(BaseModel):
    """What data set of chests to make; the same settings make the same pairs everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["diffx2ct", "nifti_png", "x2ct_gan"] = Field(
        "diffx2ct", description="how the pairs lie on disk"
    )
    size: Annotated[int, Field(ge=8)] = Field(32, description="voxels of a volume's edge")
    xray_size: Annotated[int, Field(ge=8)] = Field(32, description="rows and columns of an X-ray")
    train: PositiveInt = Field(24, description="pairs to train on, each of another patient")
    validation: PositiveInt = Field(6, description="pairs to validate on")
    test: PositiveInt = Field(6, description="pairs to test on")
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def total(self) -> int:
        """The number of pairs of all splits."""
        return self.train + self.validation + self.test


def ensure_xray_ct_phantoms(root: Path, settings: XrayCtPhantomSettings) -> None:
    """Make the data set at `root` unless something is there already.

    Safe to call from several processes at once: one builds, the others wait for it.

    Raises:
        DataError: phantoms of other settings are there, or the folder cannot be written.
    """
    if not is_filled(root):
        _log.info("making %d phantom chests in %s", settings.total, root)
        generate_xray_ct_phantoms(root, settings)
    check_same_phantoms(root / NOTE, settings)


def generate_xray_ct_phantoms(
    root: Path,
    settings: XrayCtPhantomSettings,
    *,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> bool:
    """Write a data set of chests to `root`, whole or not at all.

    Returns:
        False if another process made `root` in the meantime; then nothing was written.

    Raises:
        DataError: the folder cannot be written.
    """
    from data.atomic_folder import build_folder

    def write(folder: Path) -> None:
        _write(folder, settings, progress)

    return build_folder(root, write, overwrite=overwrite)


def _write(folder: Path, settings: XrayCtPhantomSettings, progress: Progress) -> None:
    from data.drr_radiograph import XrayTube, radiographs
    from data.thorax import draw_thorax
    from data.xray_ct_format import Pair
    from data.xray_ct_layout import FRONT_FROM_BEHIND
    from data.xray_ct_splits import SPLITS
    from data.xray_ct_writer import XrayCtWriter

    writer = XrayCtWriter(folder, settings.layout)
    tube = XrayTube(from_behind=settings.layout in FRONT_FROM_BEHIND)
    number = 0
    for split in SPLITS:
        for _ in range(getattr(settings, split)):
            chest = draw_thorax(settings.seed, number, settings.size)
            xrays = radiographs(chest.hu, chest.voxel_size, settings.xray_size, tube)
            pair = Pair(hu=chest.hu, voxel_size=chest.voxel_size, xrays=xrays)
            name = f"phantom{number:04d}"
            writer.add(name, name, split, pair)
            number += 1
            progress(number, settings.total)
    writer.finish({"phantoms": settings.model_dump(mode="json")})
