"""What becomes of every CT scan that was found, before any of them is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.prepare.shares import Fractions, shares_of
from data.prepare.stand_ins import same_people_note, variants_of_each
from data.scans.files import stem_of
from data.scans.volume import Scan
from data.splits import SPLITS, Split
from data.xray_ct.prepare.settings import XrayCtPrepareSettings


@dataclass(frozen=True, kw_only=True)
class PlannedPair:
    """One pair to make: of a scan as it is, or of a variant of it."""

    scan: Scan
    variant: int  # 0 for the scan as it is
    name: str
    patient: str  # a number in place of a hospital's id
    split: Split


@dataclass(frozen=True, kw_only=True)
class PairPlan:
    """What becomes of every scan."""

    pairs: tuple[PlannedPair, ...]  # those of a scan follow each other
    notes: tuple[str, ...]  # sentences for the user, and for the record
    from_same_people: bool  # whether splits share persons, as there are too few


def plan_pairs(settings: XrayCtPrepareSettings, scans: Sequence[Scan]) -> PairPlan:
    """Share out the scans by patient, or random variants of them where patients are too few."""
    numbers: dict[str, str] = {}
    for scan in scans:
        numbers.setdefault(scan.patient, f"patient{len(numbers):04d}")
    few = len(numbers) < len(SPLITS)
    variants = variants_of_each(settings.variants, len(scans), few=few)
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
    return PairPlan(
        pairs=tuple(
            PlannedPair(scan=scan, variant=number, name=name, patient=group, split=splits[group])
            for (scan, name, number), group in zip(named, groups, strict=True)
        ),
        notes=tuple(_notes(len(scans), len(numbers), variants, few=few)),
        from_same_people=few,
    )


def _assigned(groups: Sequence[str], fractions: Fractions, seed: int) -> dict[str, Split]:
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    counts = shares_of(len(names), fractions)
    splits = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    return {names[place]: split for place, split in zip(order, splits, strict=True)}


def _names(scans: Sequence[Scan]) -> list[str]:
    """A name that a file may have for each scan, each another one."""
    stems = [stem_of(scan.name) for scan in scans]
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
    return [*notes, same_people_note(patients, "patient", "patients")]
