"""A data set of random chests with their X-rays, for trying things out.

Readers import this module, so what draws and writes is imported by the function that does.
"""

from __future__ import annotations

from pathlib import Path

from data.prepare.phantoms import Phantoms
from data.prepare.telling import Step
from data.xray_ct.layouts.find import NOTE
from data.xray_ct.settings import XrayCtPhantomSettings


def _write(folder: Path, settings: XrayCtPhantomSettings, step: Step) -> None:
    from data.physics.radiograph import XrayTube, radiographs
    from data.splits import SPLITS
    from data.xray_ct.layouts.find import FRONT_FROM_BEHIND
    from data.xray_ct.layouts.format import Pair
    from data.xray_ct.prepare.thorax import draw_thorax
    from data.xray_ct.prepare.writer import XrayCtWriter

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
            step(number, settings.total)
    writer.finish({"phantoms": settings.model_dump(mode="json")})


XRAY_CT_PHANTOMS = Phantoms(things="phantom chests", write=_write, record=NOTE)
