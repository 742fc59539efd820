"""Which brains train, which validate, which test: by subject, in folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.prepare.shares import Fractions
from protocol.errors import DataError


@dataclass(frozen=True, kw_only=True)
class BrainAssignment:
    """Who goes where, by places in the sequence that was shared out."""

    folds: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # (train, validation) each
    lesion_validation: tuple[int, ...]  # to get lesions; in no fold
    test: tuple[int, ...]


def assign_brains(
    groups: Sequence[str], shares: Fractions, *, folds: int, lesions: bool, seed: int
) -> BrainAssignment:
    """Share out volumes so that those of one group stay together.

    The test share is put aside, and, for lesions, as much as the validation share for the volumes
    that the threshold is chosen on. The rest trains and validates: with one fold, by the
    shares; with more, every group validates in exactly one of them.

    Args:
        groups: each volume's subject.

    Raises:
        DataError: there are too few subjects.
    """
    names = sorted(set(groups))
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    fractions = [share / sum(shares) for share in shares]
    test = max(1, round(fractions[2] * len(order)))
    validation = max(1, round(fractions[1] * len(order)))
    held = validation if lesions else 0
    pool = order[test + held :]
    least = 1 + validation if folds == 1 else folds
    if len(pool) < max(2, least):
        raise DataError(
            f"{len(names)} subjects are too few for {test} to test"
            + (f", {held} to get lesions and choose the threshold on" if held else "")
            + f" and {folds} fold{'s' if folds > 1 else ''} to train and validate; add volumes, "
            "lower --folds, or give --variants"
        )
    parts = (
        [pool[:validation]]
        if folds == 1
        else [
            [pool[place] for place in part] for part in np.array_split(np.arange(len(pool)), folds)
        ]
    )

    def places(subjects: Sequence[str]) -> tuple[int, ...]:
        chosen = set(subjects)
        return tuple(place for place, group in enumerate(groups) if group in chosen)

    return BrainAssignment(
        folds=tuple((places([n for n in pool if n not in part]), places(part)) for part in parts),
        lesion_validation=places(order[test : test + held]),
        test=places(order[:test]),
    )


def least_subjects(folds: int, *, lesions: bool) -> int:
    """The fewest subjects that can be shared out without varying one."""
    return 1 + int(lesions) + max(2, folds)
