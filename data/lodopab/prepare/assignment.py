"""Which slices train, which validate, which test: by patient, never by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.scans.volume import Scan
from data.splits import SPLITS, Split
from protocol.errors import DataError

Fractions = tuple[float, float, float]  # of train, validation, test; they sum to 1


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Slices of one scan that go to one split."""

    scan: Scan
    slices: tuple[int, ...]
    patient: str


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The pieces of each split, and how the split was made, in a sentence."""

    pieces: dict[Split, list[Piece]]
    note: str

    def count(self, split: Split) -> int:
        """The number of a split's slices."""
        return sum(len(piece.slices) for piece in self.pieces[split])


def assign(whole: Sequence[Piece], fractions: Fractions, *, gap: int, seed: int) -> Assignment:
    """Share out scans, each given as a piece with all its usable slices.

    Three patients or more are shared out whole. Of two, one trains and the other is cut into a
    slab to validate and one to test. A single one is cut into three slabs. Between slabs `gap`
    slices are left out, since neighbours look alike.

    Raises:
        DataError: there are too few slices, or the patient to be cut has several scans.
    """
    patients: dict[str, list[Piece]] = {}
    for piece in whole:
        patients.setdefault(piece.patient, []).append(piece)
    if len(patients) >= 3:
        return _by_patient(list(patients.values()), fractions, seed)
    largest, *others = sorted(
        patients.values(), key=lambda pieces: -sum(len(piece.slices) for piece in pieces)
    )
    if others:
        validation, test = _slabs(others[0], fractions[1:], SPLITS[1:], gap)
        return Assignment(
            pieces={"train": largest, "validation": [validation], "test": [test]},
            note=(
                f"Two patients: one trains; the other is cut into a slab of slices to validate "
                f"and one to test, {gap} slices apart. Three or more would be split by patient."
            ),
        )
    slabs = _slabs(largest, fractions, SPLITS, gap)
    return Assignment(
        pieces={split: [slab] for split, slab in zip(SPLITS, slabs, strict=True)},
        note=(
            f"One patient only: its slices are cut into three slabs, {gap} slices apart. Results "
            "will speak of this patient, not of others; three or more are split by patient."
        ),
    )


def _by_patient(patients: list[list[Piece]], fractions: Fractions, seed: int) -> Assignment:
    order = np.random.default_rng(seed).permutation(len(patients))
    ends = np.cumsum(shares_of(len(patients), fractions))
    groups = np.split(order, ends[:-1])
    return Assignment(
        pieces={
            split: [piece for patient in sorted(group) for piece in patients[patient]]
            for split, group in zip(SPLITS, groups, strict=True)
        },
        note="Split by patient: "
        + ", ".join(f"{len(g)} {s}" for s, g in zip(SPLITS, groups, strict=True))
        + ".",
    )


def _slabs(
    pieces: list[Piece], fractions: Sequence[float], names: Sequence[str], gap: int
) -> list[Piece]:
    """Cut a patient's only scan into contiguous slabs, `gap` slices apart."""
    if len(pieces) > 1:
        raise DataError(
            f"{len(pieces)} scans are of one patient ({pieces[0].scan.name}, …), and fewer than "
            "three patients are there, so no split would be independent; add scans of other "
            "patients, name a single scan, or give --series_are_patients if each is of another "
            "person"
        )
    (piece,) = pieces
    usable = len(piece.slices) - gap * (len(fractions) - 1)
    if usable < len(fractions):
        raise DataError(
            f"{piece.scan.name} has {len(piece.slices)} usable slices, too few for "
            f"{len(fractions)} slabs with {gap} slices between them; lower --gap, or add scans"
        )
    slabs, start = [], 0
    for name, share in zip(names, shares_of(usable, fractions), strict=True):
        slices = piece.slices[start : start + share]
        slabs.append(Piece(scan=piece.scan, slices=slices, patient=f"{piece.patient}, {name}"))
        start += share + gap
    return slabs


def shares_of(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers near the fractions of `total`, each at least 1, that sum to it.

    `total` must not be less than the number of fractions.
    """
    spare = total - len(fractions)
    exact = np.array(fractions) / sum(fractions) * total
    wanted = np.maximum(exact - 1, 0)
    wanted = wanted / wanted.sum() * spare if wanted.sum() > 0 else wanted + spare / len(fractions)
    shares = np.floor(wanted).astype(int)
    largest_first = np.argsort(-(wanted - shares), kind="stable")
    shares[largest_first[: spare - shares.sum()]] += 1
    return [int(share) + 1 for share in shares]
