"""Turning a user's own CT scans into a data set of X-ray/CT pairs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.caches.atomic_folder import build_folder
from data.physics.attenuation import MU_AIR, MU_WATER, IntensityScale
from data.physics.parallel import MU_MAX
from data.physics.radiograph import radiographs
from data.scans.find import find_scans
from data.scans.volume import Scan
from data.xray_ct.layouts.format import Millimetres, Pair
from data.xray_ct.prepare.cube import AIR, Array, Cube, body_cube, cut, random_change
from data.xray_ct.prepare.plan import Piece, Plan, XrayCtPrepareSettings, plan_pairs
from data.xray_ct.prepare.writer import XrayCtWriter, check_xray_ct_destination
from protocol.errors import DataError, SettingsError

DENSEST = 3071.0  # HU that 12-bit scanners end at
STORED_BYTES = {"diffx2ct": 4.0, "nifti_png": 1.2, "x2ct_gan": 1.2}  # of a voxel, compressed

Say = Callable[[str], None]
Progress = Callable[[int, int], None]  # called with (pairs done, pairs in all)


def prepare_xray_ct(settings: XrayCtPrepareSettings, say: Say, progress: Progress) -> None:
    """Write the data set whole or not at all.

    Raises:
        DataError: a scan is missing, damaged, foreign or empty, or the folder is taken.
        SettingsError: the X-ray source would be inside the body's cube.
    """
    check_xray_ct_destination(settings.out, overwrite=settings.overwrite)
    scans = find_scans(settings.source, series_are_patients=settings.series_are_patients)
    plan = plan_pairs(settings, scans)
    for note in plan.notes:
        say(note)
    _check_room(settings, len(plan.pieces))
    work = _Work(settings, plan, say, progress)
    if not build_folder(settings.out, work.write, overwrite=settings.overwrite):
        raise DataError(f"{settings.out} was made by another process in the meantime; look there")


def hounsfield(
    scan: Scan, intensity_range: tuple[float, float] | None
) -> tuple[Array, Millimetres]:
    """A scan's volume (D, H, W) in HU, axes from head to feet, front to back, right to left.

    With a range, its first becomes air and its second what LoDoPaB-CT calls 1, about 3071 HU.

    Returns:
        The volume, and the mm between its slices, rows and columns.

    Raises:
        DataError: it cannot be read, or its values make no sense on this scale.
    """
    volume = scan.read()
    IntensityScale(intensity_range).check(scan.name, volume.slices)
    values = volume.slices[::-1]
    if intensity_range is not None:
        low, high = intensity_range
        # Leuschner et al. 2021, "Ground truth", solved for HU: 0 is air, 1 is 3071 HU.
        scaled = np.clip((values - low) / (high - low), 0, 1)
        values = (scaled * MU_MAX - MU_WATER) * (1000 / (MU_WATER - MU_AIR))
    hu = np.clip(values, AIR, DENSEST).astype(np.float32)
    return np.ascontiguousarray(hu), (volume.thickness, *volume.spacing)


@dataclass
class _Work:
    """Writing the data set that has been decided on."""

    settings: XrayCtPrepareSettings
    plan: Plan
    say: Say
    progress: Progress
    _cases: dict[str, dict[str, Any]] = field(default_factory=dict)  # for the record

    def write(self, folder: Path) -> None:
        """Fill `folder`."""
        writer = XrayCtWriter(folder, self.settings.layout)
        last: tuple[Scan, Array, Millimetres, Cube] | None = None
        for place, piece in enumerate(self.plan.pieces):
            if last is None or last[0] is not piece.scan:
                last = (piece.scan, *self._opened(piece.scan))
            _, hu, voxel_size, cube = last
            pair = self._pair(place, piece, hu, voxel_size, cube)
            writer.add(piece.name, piece.patient, piece.split, pair)
            self._cases[piece.name] = {"source": piece.scan.name, "variant": piece.variant}
            self.progress(place + 1, len(self.plan.pieces))
        writer.finish(
            {
                "prepared": self.settings.model_dump(mode="json", exclude={"out", "overwrite"}),
                "notes": list(self.plan.notes),
                "splits_share_people": self.plan.from_same_people,
                "cases": self._cases,
            }
        )

    def _opened(self, scan: Scan) -> tuple[Array, Millimetres, Cube]:
        hu, voxel_size = hounsfield(scan, self.settings.intensity_range)
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
                f"--source_isocentre: found {chosen.source_isocentre:g} mm, expected more than the "
                f"{cube.edge:.4g} mm of the cube around the body; move the source away"
            )

    def _pair(
        self, place: int, piece: Piece, hu: Array, voxel_size: Millimetres, cube: Cube
    ) -> Pair:
        seed = self.settings.seed
        change = None
        if piece.variant:
            change = random_change(np.random.default_rng([seed, place, 0]))
        volume = cut(hu, voxel_size, cube, self.settings.size, change)
        sides = (cube.edge / self.settings.size,) * 3
        noise = np.random.default_rng([seed, place, 1])
        xrays = radiographs(volume, sides, self.settings.xray_size, self.settings.tube, noise)
        return Pair(hu=volume, voxel_size=sides, xrays=xrays)


def _check_room(settings: XrayCtPrepareSettings, pairs: int) -> None:
    voxels = STORED_BYTES[settings.layout] * settings.size**3
    needed = pairs * (voxels + 2 * 4 * settings.xray_size**2)
    place = next(folder for folder in settings.out.absolute().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(
            f"{settings.out} needs about {needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} "
            "GB free; free some, lower --size or --variants, or give another --out"
        )
