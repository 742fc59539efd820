"""Whole numbers out of shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Fractions = tuple[float, float, float]  # of train, validation, test


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
