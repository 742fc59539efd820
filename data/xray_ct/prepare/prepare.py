"""Turning a user's own CT scans into a data set of X-ray/CT pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.physics.attenuation import MU_AIR, MU_WATER, IntensityScale
from data.physics.drr import ConeBeam
from data.physics.parallel import MU_MAX
from data.physics.radiograph import XrayTube, radiographs
from data.prepare.destination import check_room, write_data_set
from data.prepare.telling import Say, Step
from data.scans.find import Found, find_scans
from data.scans.volume import Millimetres, Scan
from data.xray_ct.layouts.find import FRONT_FROM_BEHIND
from data.xray_ct.layouts.format import Pair
from data.xray_ct.prepare.cube import AIR, Array, Cube, body_cube, cut, random_change
from data.xray_ct.prepare.plan import PairPlan, PlannedPair, plan_pairs
from data.xray_ct.prepare.settings import XrayCtPrepareSettings
from data.xray_ct.prepare.writer import XrayCtWriter, check_xray_ct_destination
from protocol.errors import SettingsError

DENSEST = 3071.0  # HU that 12-bit scanners end at
STORED_BYTES = {"diffx2ct": 4.0, "nifti_png": 1.2, "x2ct_gan": 1.2}  # of a voxel, compressed


def prepare_xray_ct(settings: XrayCtPrepareSettings, say: Say, step: Step) -> None:
    """Write the data set whole or not at all.

    Raises:
        DataError: a scan is missing, damaged, foreign or empty, or the folder is taken.
        SettingsError: the X-ray source would be inside the body's cube.
    """
    check_xray_ct_destination(settings.out, overwrite=settings.overwrite)
    found = find_scans(
        settings.source,
        series_are_patients=settings.series_are_patients,
        patient_pattern=settings.patient_pattern,
    )
    say(found.note)
    plan = plan_pairs(settings, found.scans)
    for note in plan.notes:
        say(note)
    _check_room(settings, len(plan.pairs))
    work = _Work(settings, plan, found, say, step)
    write_data_set(settings.out, work.write, overwrite=settings.overwrite)


def hounsfield(scan: Scan, scale: IntensityScale, say: Say) -> tuple[Array, Millimetres]:
    """A scan's volume (D, H, W) in HU, axes from head to feet, front to back, right to left.

    With a range, its first becomes air and its second what LoDoPaB-CT calls 1, about 3071 HU.

    Returns:
        The volume, and the mm between its slices, rows and columns.

    Raises:
        DataError: it cannot be read, or its values make no sense on this scale.
    """
    volume = scan.read()
    for remark in (*scale.check(scan.name, volume.values), *volume.remarks):
        say(f"{scan.name}: {remark}")
    values = volume.values[::-1]
    if scale.range is None:
        values = np.nan_to_num(values, nan=scale.air)
    else:
        # Leuschner et al. 2021, "Ground truth", solved for HU: 0 is air, 1 is 3071 HU.
        values = (scale(values) * MU_MAX - MU_WATER) * (1000 / (MU_WATER - MU_AIR))
    hu = np.clip(values, AIR, DENSEST).astype(np.float32)
    return np.ascontiguousarray(hu), volume.voxel_size


@dataclass
class _Work:
    """Writing the data set that has been decided on."""

    settings: XrayCtPrepareSettings
    plan: PairPlan
    found: Found
    say: Say
    step: Step
    _cases: dict[str, dict[str, Any]] = field(default_factory=dict)  # for the record

    def write(self, folder: Path) -> None:
        """Fill `folder`."""
        writer = XrayCtWriter(folder, self.settings.layout)
        last: tuple[Scan, Array, Millimetres, Cube] | None = None
        for place, planned in enumerate(self.plan.pairs):
            if last is None or last[0] is not planned.scan:
                last = (planned.scan, *self._opened(planned.scan))
            _, hu, voxel_size, cube = last
            pair = self._pair(place, planned, hu, voxel_size, cube)
            writer.add(planned.name, planned.patient, planned.split, pair)
            self._cases[planned.name] = {"source": planned.scan.name, "variant": planned.variant}
            self.step(place + 1, len(self.plan.pairs))
        writer.finish(
            {
                "prepared": self.settings.model_dump(mode="json", exclude={"out", "overwrite"}),
                "files": self.found.note,
                "left_out": dict(self.found.left_out),
                "notes": list(self.plan.notes),
                "splits_share_people": self.plan.from_same_people,
                "cases": self._cases,
            }
        )

    def _opened(self, scan: Scan) -> tuple[Array, Millimetres, Cube]:
        scale = IntensityScale(self.settings.intensity_range, self.settings.nan_as_air)
        hu, voxel_size = hounsfield(scan, scale, self.say)
        cube = body_cube(scan.name, hu, voxel_size, self.settings.field_of_view)
        shape = "×".join(str(side) for side in hu.shape)
        self.say(
            f"{scan.name}: {shape} voxels; a cube of {cube.edge:.4g} mm around the body becomes "
            f"{self.settings.size}³ voxels of {cube.edge / self.settings.size:.4g} mm"
        )
        self._check_source(cube)
        return hu, voxel_size, cube

    def _check_source(self, cube: Cube) -> None:
        chosen = self.settings
        if chosen.geometry == "cone" and chosen.source_isocentre <= cube.edge:
            raise SettingsError(
                f"found {chosen.source_isocentre:g} mm, expected more than the "
                f"{cube.edge:.4g} mm of the cube around the body; move the source away",
                key="--source_isocentre",
            )

    def _pair(
        self, place: int, planned: PlannedPair, hu: Array, voxel_size: Millimetres, cube: Cube
    ) -> Pair:
        seed = self.settings.seed
        change = None
        if planned.variant:
            change = random_change(np.random.default_rng([seed, place, 0]))
        volume = cut(hu, voxel_size, cube, self.settings.size, change)
        sides = (cube.edge / self.settings.size,) * 3
        noise = np.random.default_rng([seed, place, 1])
        xrays = radiographs(volume, sides, self.settings.xray_size, tube_of(self.settings), noise)
        return Pair(hu=volume, voxel_size=sides, xrays=xrays)


def tube_of(settings: XrayCtPrepareSettings) -> XrayTube:
    """How the X-rays are taken."""
    beam = ConeBeam(
        source_isocentre=settings.source_isocentre,
        source_detector=settings.source_detector,
        detector_width=settings.detector_width,
    )
    return XrayTube(
        beam=beam if settings.geometry == "cone" else None,
        energy=settings.energy,
        photons=settings.photons,
        from_behind=settings.layout in FRONT_FROM_BEHIND,
    )


def _check_room(settings: XrayCtPrepareSettings, pairs: int) -> None:
    voxels = STORED_BYTES[settings.layout] * settings.size**3
    needed = pairs * (voxels + 2 * 4 * settings.xray_size**2)
    check_room(settings.out, needed, lower="--size or --variants", about="about ")
