"""What a few repetitions say: a mean with its interval, and whether two means differ.

Both take a trial's repetitions for independent draws from a normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

LEVEL = 0.95  # of all intervals


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean; of a single value neither its spread nor an interval is known."""

    n: int
    mean: float
    deviation: float | None  # the sample's, with n - 1 in the denominator
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of two means, the first minus the second."""

    by: float
    low: float
    high: float
    p_value: float  # two-sided


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one or more values with Student's t interval (Student, Biometrika 6, 1908)."""
    mean, n = fmean(values), len(values)
    if n == 1:
        return Estimate(n=n, mean=mean, deviation=None, low=None, high=None)
    deviation = stdev(values)
    reach = _quantile(n - 1) * deviation / math.sqrt(n)
    return Estimate(n=n, mean=mean, deviation=deviation, low=mean - reach, high=mean + reach)


def difference(one: Sequence[float], other: Sequence[float]) -> Difference | None:
    """Welch's t-test (Biometrika 34, 1947), which lets the two spread differently.

    None where nothing can be said: of a single value, or where neither sample varies at all.
    """
    if min(len(one), len(other)) < 2:
        return None
    # The squared standard errors of the two means.
    squares = [stdev(values) ** 2 / len(values) for values in (one, other)]
    if sum(squares) == 0.0:
        return None
    # The Welch–Satterthwaite equation, scaled so that small spreads do not underflow.
    shares = [square / sum(squares) for square in squares]
    freedom = 1.0 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (one, other), strict=True)
    )
    error = math.sqrt(sum(squares))
    by = fmean(one) - fmean(other)
    reach = _quantile(freedom) * error
    p_value = 2.0 * float(stdtr(freedom, -abs(by) / error))
    return Difference(by=by, low=by - reach, high=by + reach, p_value=p_value)


def _quantile(freedom: float) -> float:
    return float(stdtrit(freedom, (1.0 + LEVEL) / 2.0))
