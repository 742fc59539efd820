"""Turning a user's own CT scans into a data set in LoDoPaB-CT's layout.

Every scan is read twice: first all are surveyed, so that a bad one is refused before hours are
spent on the others; then their slices are simulated and written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from data.caches.atomic_folder import build_folder
from data.geometry import ParallelGeometry
from data.lodopab.layout import PROVENANCE
from data.lodopab.prepare.writer import LodopabWriter, check_destination, check_room
from data.physics.attenuation import IntensityScale
from data.physics.parallel import LANES, PHOTONS, detectors_for, simulate, simulation_size
from data.physics.resample import resample_square, square_side
from data.lodopab.prepare.assignment import Assignment, Fractions, Piece, assign
from data.scans.find import find_scans
from data.scans.volume import Scan, Volume
from data.splits import SPLITS, Split
from protocol.errors import DataError

# A slice is empty when fewer than this share of its pixels hold more than 40 % of water's value.
EMPTY_SHARE, TISSUE = 0.01, 0.1

Say = Callable[[str], None]
Progress = Callable[[int, int], None]  # called with (slices done, slices in all)
Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PrepareSettings(BaseModel):
    """What to make of which scans."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Path
    out: Path
    intensity_range: tuple[float, float] | None = None
    image_size: Annotated[int, Field(ge=16)] = 362
    angles: PositiveInt = 1000
    detectors: PositiveInt | None = None
    split: tuple[Share, Share, Share] = (0.8, 0.1, 0.1)
    gap: Annotated[int, Field(ge=0)] = 5
    field_of_view: PositiveFloat | None = None
    photons: PositiveFloat = PHOTONS
    series_are_patients: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    overwrite: bool = False

    @model_validator(mode="after")
    def _range_ascends(self) -> Self:
        if self.intensity_range and not self.intensity_range[0] < self.intensity_range[1]:
            low, high = self.intensity_range
            raise ValueError(f"intensity_range {low:g} {high:g}: the first must be the smaller")
        return self

    @property
    def geometry(self) -> ParallelGeometry:
        """The scan to simulate."""
        return ParallelGeometry.lodopab(
            angles=self.angles,
            detectors=self.detectors or detectors_for(self.image_size),
            image_size=self.image_size,
        )

    @property
    def fractions(self) -> Fractions:
        """The split's shares, which sum to 1."""
        train, validation, test = (share / sum(self.split) for share in self.split)
        return train, validation, test


def prepare_lodopab(settings: PrepareSettings, say: Say, progress: Progress) -> None:
    """Simulate measurements of every usable slice, and write them whole or not at all.

    Raises:
        DataError: a scan is missing, truncated, foreign or empty, or the folder is taken.
    """
    check_destination(settings.out, overwrite=settings.overwrite)
    scans = find_scans(settings.source, series_are_patients=settings.series_are_patients)
    scale = IntensityScale(settings.intensity_range)
    whole = [piece for scan in scans if (piece := survey(scan, scale, say)) is not None]
    if not whole:
        raise DataError(
            f"{settings.source}: no slice has anything in it after scaling; check "
            "--intensity_range, of which the first is air and the second dense bone"
        )
    assignment = assign(whole, settings.fractions, gap=settings.gap, seed=settings.seed)
    say(assignment.note)
    say(", ".join(f"{assignment.count(split)} {split}" for split in SPLITS) + " images")
    check_room(settings.out, settings.geometry, sum(map(assignment.count, SPLITS)))
    work = _Work(settings, scale, assignment, progress)
    if not build_folder(settings.out, work.write, overwrite=settings.overwrite):
        raise DataError(f"{settings.out} was made by another process in the meantime; look there")


def survey(scan: Scan, scale: IntensityScale, say: Say) -> Piece | None:
    """The scan's slices that show something; None, and a word why, if none does.

    Raises:
        DataError: it cannot be read, or its values make no sense on this scale.
    """
    volume = scan.read()
    scale.check(scan.name, volume.slices)
    kept = tuple(
        number
        for number, values in enumerate(volume.slices)
        if np.mean(scale(values) > TISSUE) >= EMPTY_SHARE
    )
    count, rows, columns = volume.slices.shape
    say(
        f"{scan.name}: {count} slices of {rows}×{columns}, {count - len(kept)} of them empty and "
        "left out"
    )
    return Piece(scan=scan, slices=kept, patient=scan.patient) if kept else None


@dataclass(frozen=True)
class _Work:
    """Writing the data set that has been decided on."""

    settings: PrepareSettings
    scale: IntensityScale
    assignment: Assignment
    progress: Progress

    def write(self, folder: Path) -> None:
        """Fill `folder`."""
        total = sum(map(self.assignment.count, SPLITS))
        patients = _numbered_patients(self.assignment)
        done = 0
        for split in SPLITS:
            count = self.assignment.count(split)
            writer = LodopabWriter(folder, split, count=count, geometry=self.settings.geometry)
            # Shuffled as the published files are, so that the first few images of a split are as
            # varied as the whole.
            places = np.random.default_rng([self.settings.seed, SPLITS.index(split)]).permutation(
                count
            )
            written = 0
            for piece, images, observations in self._measured(split):
                for image, observation in zip(images, observations, strict=True):
                    place = int(places[written])
                    writer.write(place, observation, image, str(patients[piece.patient]))
                    written += 1
                self.progress(done + written, total)
            writer.finish()
            done += count
        self._record(folder, patients)

    def _measured(
        self, split: Split
    ) -> Iterator[tuple[Piece, NDArray[np.float32], NDArray[np.float32]]]:
        """Images and their observations, a few at a time, in the order of the pieces."""
        number = 0
        for piece in self.assignment.pieces[split]:
            volume = piece.scan.read()
            for start in range(0, len(piece.slices), LANES):
                fine = self._fine(volume, piece.slices[start : start + LANES])
                generators = [
                    np.random.default_rng([self.settings.seed, SPLITS.index(split), number + lane])
                    for lane in range(len(fine))
                ]
                number += len(fine)
                observations, images = simulate(
                    fine, self.settings.geometry, generators, photons=self.settings.photons
                )
                yield piece, images, observations

    def _fine(self, volume: Volume, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Slices in [0, 1] on the simulation's grid, (slices, M, M)."""
        _, rows, columns = volume.slices.shape
        side = self.settings.field_of_view or square_side((rows, columns), volume.spacing)
        size = simulation_size(self.settings.image_size)
        return np.stack(
            [
                resample_square(self.scale(volume.slices[n]), volume.spacing, side, size)
                for n in numbers
            ]
        )

    def _record(self, folder: Path, patients: dict[str, int]) -> None:
        """Note where the data came from; names of scans, but no patient's own id."""
        names = {
            patients[piece.patient]: piece.scan.name
            for split in SPLITS
            for piece in self.assignment.pieces[split]
        }
        record = {
            "prepared": self.settings.model_dump(mode="json", exclude={"out", "overwrite"}),
            "split": self.assignment.note,
            "patients": names,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False)
        (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def _numbered_patients(assignment: Assignment) -> dict[str, int]:
    """A number for each patient, since the csv files are not to carry ids from hospitals."""
    names = [piece.patient for split in SPLITS for piece in assignment.pieces[split]]
    return {name: number for number, name in enumerate(dict.fromkeys(names))}
