"""Turning a user's own CT scans into a data set in LoDoPaB-CT's layout.

Every scan is read twice: first all are surveyed, so that a bad one is refused before hours are
spent on the others; then their slices are simulated and written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.geometry import ParallelGeometry
from data.lodopab.layout import PROVENANCE
from data.lodopab.prepare.assignment import Assignment, Slab, assign
from data.lodopab.prepare.settings import LodopabPrepareSettings
from data.lodopab.prepare.writer import LodopabWriter, check_destination, check_room
from data.physics.attenuation import IntensityScale
from data.physics.parallel import LANES, simulate, simulation_size
from data.physics.resample import resample_square, square_side
from data.prepare.destination import write_data_set, write_record
from data.prepare.telling import Say, Step
from data.scans.find import Found, find_scans
from data.scans.volume import Scan, UprightVolume
from data.splits import SPLITS, Split
from protocol.errors import DataError

# A slice is empty when fewer than this share of its pixels hold more than 40 % of water's value.
EMPTY_SHARE, TISSUE = 0.01, 0.1


def prepare_lodopab(settings: LodopabPrepareSettings, say: Say, step: Step) -> None:
    """Simulate measurements of every usable slice, and write them whole or not at all.

    Raises:
        DataError: a scan is missing, truncated, foreign or empty, or the folder is taken.
    """
    check_destination(settings.out, overwrite=settings.overwrite)
    found = find_scans(
        settings.source,
        series_are_patients=settings.series_are_patients,
        patient_pattern=settings.patient_pattern,
    )
    say(found.note)
    scale = IntensityScale(settings.intensity_range, settings.nan_as_air)
    whole = [slab for scan in found.scans if (slab := survey(scan, scale, say)) is not None]
    if not whole:
        raise DataError(
            f"{settings.source}: no slice has anything in it after scaling; check "
            "--intensity_range, of which the first is air and the second dense bone"
        )
    assignment = assign(whole, settings.fractions, gap=settings.gap, seed=settings.seed)
    say(assignment.note)
    say(", ".join(f"{assignment.count(split)} {split}" for split in SPLITS) + " images")
    geometry = ParallelGeometry.lodopab(
        angles=settings.angles, detectors=settings.detectors, image_size=settings.image_size
    )
    check_room(settings.out, geometry, sum(map(assignment.count, SPLITS)))
    work = _Work(settings, geometry, scale, assignment, found, step)
    write_data_set(settings.out, work.write, overwrite=settings.overwrite)


def survey(scan: Scan, scale: IntensityScale, say: Say) -> Slab | None:
    """The scan's slices that show something; None, and a word why, if none does.

    Raises:
        DataError: it cannot be read, or its values make no sense on this scale.
    """
    volume = scan.read()
    for remark in (*scale.check(scan.name, volume.values), *volume.remarks):
        say(f"{scan.name}: {remark}")
    kept = tuple(
        number
        for number, values in enumerate(volume.values)
        if np.mean(scale(values) > TISSUE) >= EMPTY_SHARE
    )
    count, rows, columns = volume.values.shape
    say(
        f"{scan.name}: {count} slices of {rows}×{columns}, {count - len(kept)} of them empty and "
        "left out"
    )
    return Slab(scan=scan, slices=kept, patient=scan.patient) if kept else None


@dataclass(frozen=True)
class _Work:
    """Writing the data set that has been decided on."""

    settings: LodopabPrepareSettings
    geometry: ParallelGeometry
    scale: IntensityScale
    assignment: Assignment
    found: Found
    step: Step

    def write(self, folder: Path) -> None:
        """Fill `folder`."""
        total = sum(map(self.assignment.count, SPLITS))
        patients = _numbered_patients(self.assignment)
        done = 0
        for split in SPLITS:
            count = self.assignment.count(split)
            writer = LodopabWriter(folder, split, count=count, geometry=self.geometry)
            # Shuffled as the published files are, so that the first few images of a split are as
            # varied as the whole.
            places = np.random.default_rng([self.settings.seed, SPLITS.index(split)]).permutation(
                count
            )
            written = 0
            for slab, images, observations in self._measured(split):
                for image, observation in zip(images, observations, strict=True):
                    place = int(places[written])
                    writer.write(place, observation, image, str(patients[slab.patient]))
                    written += 1
                self.step(done + written, total)
            writer.finish()
            done += count
        self._record(folder, patients)

    def _measured(
        self, split: Split
    ) -> Iterator[tuple[Slab, NDArray[np.float32], NDArray[np.float32]]]:
        """Images and their observations, a few at a time, in the order of the slabs."""
        number = 0
        for slab in self.assignment.slabs[split]:
            volume = slab.scan.read()
            for start in range(0, len(slab.slices), LANES):
                fine = self._fine(volume, slab.slices[start : start + LANES])
                generators = [
                    np.random.default_rng([self.settings.seed, SPLITS.index(split), number + lane])
                    for lane in range(len(fine))
                ]
                number += len(fine)
                observations, images = simulate(
                    fine, self.geometry, generators, photons=self.settings.photons
                )
                yield slab, images, observations

    def _fine(self, volume: UprightVolume, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Slices in [0, 1] on the simulation's grid, (slices, M, M)."""
        _, rows, columns = volume.values.shape
        spacing = volume.voxel_size[1:]
        side = self.settings.field_of_view or square_side((rows, columns), spacing)
        size = simulation_size(self.settings.image_size)
        return np.stack(
            [resample_square(self.scale(volume.values[n]), spacing, side, size) for n in numbers]
        )

    def _record(self, folder: Path, patients: dict[str, int]) -> None:
        """Note where the data came from; names of scans, but no patient's own id."""
        names = {
            patients[slab.patient]: slab.scan.name
            for split in SPLITS
            for slab in self.assignment.slabs[split]
        }
        record = {
            "prepared": self.settings.model_dump(mode="json", exclude={"out", "overwrite"}),
            "files": self.found.note,
            "left_out": dict(self.found.left_out),
            "split": self.assignment.note,
            "patients": names,
        }
        write_record(folder / PROVENANCE, record)


def _numbered_patients(assignment: Assignment) -> dict[str, int]:
    """A number for each patient, since the csv files are not to carry ids from hospitals."""
    names = [slab.patient for split in SPLITS for slab in assignment.slabs[split]]
    return {name: number for number, name in enumerate(dict.fromkeys(names))}
