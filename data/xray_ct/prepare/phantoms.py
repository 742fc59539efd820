"""A data set of random chests with their X-rays, for trying things out.

Readers import this module for its settings, so what draws and writes is imported by the functions
that do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from data.caches.atomic_folder import is_filled
from data.prepare.phantoms import check_same_phantoms
from data.xray_ct.layouts.find import NOTE
from data.xray_ct.settings import XrayCtPhantomSettings

Progress = Callable[[int, int], None]  # called with (pairs done, pairs in all)

_log = logging.getLogger(__name__)


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
    from data.caches.atomic_folder import build_folder

    def write(folder: Path) -> None:
        _write(folder, settings, progress)

    return build_folder(root, write, overwrite=overwrite)


def _write(folder: Path, settings: XrayCtPhantomSettings, progress: Progress) -> None:
    from data.physics.radiograph import XrayTube, radiographs
    from data.xray_ct.layouts.find import FRONT_FROM_BEHIND
    from data.xray_ct.layouts.format import Pair
    from data.xray_ct.prepare.thorax import draw_thorax
    from data.xray_ct.prepare.writer import XrayCtWriter
    from data.xray_ct.splits import SPLITS

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
