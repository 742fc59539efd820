"""What becomes of every CT scan that was found, before any of them is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from data.physics.drr import ConeBeam
from data.physics.radiograph import HIGHEST, KEV, LOWEST, XrayTube
from data.lodopab.prepare.assignment import shares_of
from data.scans.volume import Scan
from data.xray_ct.layouts.find import FRONT_FROM_BEHIND, LayoutName
from data.xray_ct.splits import SPLITS, Split

WANTED = 24  # pairs, where patients are so few that their scans are varied

Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=8)]


class XrayCtPrepareSettings(BaseModel):
    """What to make of which scans."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Path
    out: Path
    layout: LayoutName = "diffx2ct"
    size: Side = 256
    xray_size: Side = 256
    intensity_range: tuple[float, float] | None = None
    field_of_view: PositiveFloat | None = None
    geometry: Literal["parallel", "cone"] = "parallel"
    source_isocentre: PositiveFloat = 1000.0
    source_detector: PositiveFloat = 1500.0
    detector_width: PositiveFloat | None = None
    energy: Annotated[float, Field(ge=LOWEST, le=HIGHEST)] = KEV
    photons: PositiveFloat | None = None
    split: tuple[Share, Share, Share] = (0.7, 0.15, 0.15)
    variants: PositiveInt | None = None
    series_are_patients: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    overwrite: bool = False

    @model_validator(mode="after")
    def _lengths_ascend(self) -> Self:
        if self.intensity_range and not self.intensity_range[0] < self.intensity_range[1]:
            low, high = self.intensity_range
            raise ValueError(f"intensity_range {low:g} {high:g}: the first must be the smaller")
        if not self.source_isocentre < self.source_detector:
            raise ValueError(
                f"source_detector: found {self.source_detector:g}, expected more than the "
                f"{self.source_isocentre:g} mm of --source_isocentre"
            )
        return self

    @property
    def tube(self) -> XrayTube:
        """How the X-rays are taken."""
        beam = ConeBeam(
            source_isocentre=self.source_isocentre,
            source_detector=self.source_detector,
            detector_width=self.detector_width,
        )
        return XrayTube(
            beam=beam if self.geometry == "cone" else None,
            energy=self.energy,
            photons=self.photons,
            from_behind=self.layout in FRONT_FROM_BEHIND,
        )


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One pair to make: of a scan as it is, or of a variant of it."""

    scan: Scan
    variant: int  # 0 for the scan as it is
    name: str
    patient: str  # a number in place of a hospital's id
    split: Split


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of every scan."""

    pieces: tuple[Piece, ...]  # those of a scan follow each other
    notes: tuple[str, ...]  # sentences for the user, and for the record
    from_same_people: bool  # whether splits share persons, as there are too few


def plan_pairs(settings: XrayCtPrepareSettings, scans: Sequence[Scan]) -> Plan:
    """Share out the scans by patient, or random variants of them where patients are too few."""
    numbers: dict[str, str] = {}
    for scan in scans:
        numbers.setdefault(scan.patient, f"patient{len(numbers):04d}")
    few = len(numbers) < len(SPLITS)
    variants = settings.variants or (-(-WANTED // len(scans)) if few else 1)
    if few:
        variants = max(variants, len(SPLITS))  # so that there is one for each split
    places = [
        (scan, name, number)
        for scan, name in zip(scans, _names(scans), strict=True)
        for number in range(variants)
    ]
    named = [
        (scan, name if variants == 1 else f"{name}-v{number:03d}", number)
        for scan, name, number in places
    ]
    groups = [name if few else numbers[scan.patient] for scan, name, _ in named]
    splits = _assigned(groups, settings.split, settings.seed)
    return Plan(
        pieces=tuple(
            Piece(scan=scan, variant=number, name=name, patient=group, split=splits[group])
            for (scan, name, number), group in zip(named, groups, strict=True)
        ),
        notes=tuple(_notes(len(scans), len(numbers), variants, few=few)),
        from_same_people=few,
    )


def _assigned(
    groups: Sequence[str], fractions: tuple[float, float, float], seed: int
) -> dict[str, Split]:
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    counts = shares_of(len(names), fractions)
    splits = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    return {names[place]: split for place, split in zip(order, splits, strict=True)}


def _names(scans: Sequence[Scan]) -> list[str]:
    """A name that a file may have for each scan, each another one."""
    stems = [re.sub(r"\.nii(\.gz)?$", "", scan.name) for scan in scans]
    clean = [re.sub(r"[^\w.-]+", "_", stem).strip("._") or "scan" for stem in stems]
    names: list[str] = []
    for number, name in enumerate(clean):
        free = name if clean.count(name) == 1 else f"{name}-{number:03d}"
        while free in names or (free != name and free in clean):
            free += "x"
        names.append(free)
    return names


def _notes(scans: int, patients: int, variants: int, *, few: bool) -> list[str]:
    notes = [f"{scans} scan{'s' * (scans > 1)} of {patients} patient{'s' * (patients > 1)}."]
    if variants > 1:
        notes.append(
            f"{variants} variants of each scan: turned, scaled, moved and mirrored at random."
        )
    if not few:
        return [*notes, "Split by patient."]
    people = "ONE PATIENT" if patients == 1 else f"THE SAME {patients} PATIENTS"
    return [
        *notes,
        f"TRAIN, VALIDATION AND TEST ALL COME FROM {people}, varied at random: results will show "
        "whether training works, not how it does on patients it has not seen.",
    ]
