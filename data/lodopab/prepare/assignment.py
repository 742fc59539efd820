"""Which slices train, which validate, which test: by patient, never by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.prepare.shares import Fractions, shares_of
from data.scans.volume import Scan
from data.splits import SPLITS, Split
from protocol.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Slab:
    """Slices of one scan that go to one split."""

    scan: Scan
    slices: tuple[int, ...]
    patient: str


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The slabs of each split, and how the split was made, in a sentence."""

    slabs: dict[Split, list[Slab]]
    note: str

    def count(self, split: Split) -> int:
        """The number of a split's slices."""
        return sum(len(slab.slices) for slab in self.slabs[split])


def assign(whole: Sequence[Slab], fractions: Fractions, *, gap: int, seed: int) -> Assignment:
    """Share out scans, each given as a slab with all its usable slices.

    Three patients or more are shared out whole. Of two, one trains and the other is cut into a
    slab to validate and one to test. A single one is cut into three slabs. Between slabs `gap`
    slices are left out, since neighbours look alike.

    Raises:
        DataError: there are too few slices, or the patient to be cut has several scans.
    """
    patients: dict[str, list[Slab]] = {}
    for slab in whole:
        patients.setdefault(slab.patient, []).append(slab)
    if len(patients) >= 3:
        return _by_patient(list(patients.values()), fractions, seed)
    largest, *others = sorted(
        patients.values(), key=lambda slabs: -sum(len(slab.slices) for slab in slabs)
    )
    if others:
        validation, test = _slabs(others[0], fractions[1:], SPLITS[1:], gap)
        return Assignment(
            slabs={"train": largest, "validation": [validation], "test": [test]},
            note=(
                f"Two patients: one trains; the other is cut into a slab of slices to validate "
                f"and one to test, {gap} slices apart. Three or more would be split by patient."
            ),
        )
    slabs = _slabs(largest, fractions, SPLITS, gap)
    return Assignment(
        slabs={split: [slab] for split, slab in zip(SPLITS, slabs, strict=True)},
        note=(
            f"One patient only: its slices are cut into three slabs, {gap} slices apart. Results "
            "will speak of this patient, not of others; three or more are split by patient."
        ),
    )


def _by_patient(patients: list[list[Slab]], fractions: Fractions, seed: int) -> Assignment:
    order = np.random.default_rng(seed).permutation(len(patients))
    ends = np.cumsum(shares_of(len(patients), fractions))
    groups = np.split(order, ends[:-1])
    return Assignment(
        slabs={
            split: [slab for patient in sorted(group) for slab in patients[patient]]
            for split, group in zip(SPLITS, groups, strict=True)
        },
        note="Split by patient: "
        + ", ".join(f"{len(g)} {s}" for s, g in zip(SPLITS, groups, strict=True))
        + ".",
    )


def _slabs(
    scans: list[Slab], fractions: Sequence[float], names: Sequence[str], gap: int
) -> list[Slab]:
    """Cut a patient's only scan into contiguous slabs, `gap` slices apart."""
    if len(scans) > 1:
        raise DataError(
            f"{len(scans)} scans are of one patient ({scans[0].scan.name}, …), and fewer than "
            "three patients are there, so no split would be independent; add scans of other "
            "patients, name a single scan, or give --series_are_patients if each is of another "
            "person"
        )
    (whole,) = scans
    usable = len(whole.slices) - gap * (len(fractions) - 1)
    if usable < len(fractions):
        raise DataError(
            f"{whole.scan.name} has {len(whole.slices)} usable slices, too few for "
            f"{len(fractions)} slabs with {gap} slices between them; lower --gap, or add scans"
        )
    slabs, start = [], 0
    for name, share in zip(names, shares_of(usable, fractions), strict=True):
        slices = whole.slices[start : start + share]
        slabs.append(Slab(scan=whole.scan, slices=slices, patient=f"{whole.patient}, {name}"))
        start += share + gap
    return slabs
