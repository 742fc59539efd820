"""How long all epochs of a trial take, by its parameters: ridge regression of the logarithm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

_FEWEST = 5  # trials
_MOST = 200  # the latest ones
_RIDGE = 1.0  # in trials' worth: what a parameter must show before it counts


@dataclass(frozen=True)
class _Axis:
    """One parameter as a number of mean 0 and deviation 1."""

    key: str
    numbers: Mapping[Any, float] | None  # of choices: the mean logarithm of their times
    logarithmic: bool
    mean: float = 0.0
    deviation: float = 1.0

    def raw(self, params: Mapping[str, Any]) -> float | None:
        value = params.get(self.key)
        if self.numbers is not None:
            return self.numbers.get(_name(value))
        if not isinstance(value, int | float):
            return None
        if not self.logarithmic:
            return float(value)
        return math.log(value) if value > 0 else None

    def number(self, params: Mapping[str, Any]) -> float:
        """0 where it is not known."""
        raw = self.raw(params)
        return 0.0 if raw is None else (raw - self.mean) / self.deviation


@dataclass(frozen=True)
class Fit:
    """exp(mean + Σ weight · parameter)."""

    mean: float
    axes: Sequence[_Axis]
    weights: Sequence[float]
    lowest: float  # logarithms of times seen, a factor of two beyond which nothing is claimed
    highest: float

    def seconds(self, params: Mapping[str, Any]) -> float:
        """What a trial with these parameters takes."""
        terms = zip(self.axes, self.weights, strict=True)
        found = self.mean + sum(weight * axis.number(params) for axis, weight in terms)
        return math.exp(min(max(found, self.lowest), self.highest))

    @classmethod
    def of(cls, seen: Sequence[tuple[Mapping[str, Any], float, float]]) -> Self | None:
        """The fit to (parameters, seconds, weight) of trials; None of too few.

        A trial that came to a tenth of its epochs tells less of all of them than a whole one.
        """
        seen = seen[-_MOST:]
        if len(seen) < _FEWEST:
            return None
        points = [params for params, _, _ in seen]
        logarithms = [math.log(seconds) for _, seconds, _ in seen]
        shares = [weight for _, _, weight in seen]
        keys = dict.fromkeys(key for params in points for key in params)
        axes = [axis for key in keys if (axis := _axis(key, points, logarithms)) is not None]
        mean = fmean(logarithms, shares)
        rows = [[axis.number(params) for axis in axes] for params in points]
        weights = _ridge(rows, [value - mean for value in logarithms], shares)
        margin = math.log(2.0)
        return cls(mean, axes, weights, min(logarithms) - margin, max(logarithms) + margin)


def _name(value: Any) -> Any:
    """Whole and other numbers, and True and 1, are choices of their own."""
    return f"{type(value).__name__} {value}"


def _axis(
    key: str, points: Sequence[Mapping[str, Any]], logarithms: Sequence[float]
) -> _Axis | None:
    values = [params.get(key) for params in points]
    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        # Over a range this wide, or from a searched logarithm, factors matter rather than steps.
        wide = min(given) > 0 and max(given) / min(given) > 4
        axis = _Axis(key, None, wide)
    else:
        by_choice: dict[Any, list[float]] = {}
        for value, logarithm in zip(values, logarithms, strict=True):
            by_choice.setdefault(_name(value), []).append(logarithm)
        axis = _Axis(key, {name: fmean(told) for name, told in by_choice.items()}, False)
    raw = [number for params in points if (number := axis.raw(params)) is not None]
    mean = fmean(raw)
    deviation = math.sqrt(fmean((number - mean) ** 2 for number in raw))
    if deviation < 1e-9:
        return None
    return _Axis(key, axis.numbers, axis.logarithmic, mean, deviation)


def _ridge(
    rows: Sequence[Sequence[float]], targets: Sequence[float], shares: Sequence[float]
) -> list[float]:
    """The weights w that minimise Σ share · (row · w - target)² + ridge · |w|²."""
    told = list(zip(rows, targets, shares, strict=True))
    size = len(rows[0])
    matrix = [
        [
            sum(share * row[i] * row[j] for row, _, share in told) + (_RIDGE if i == j else 0.0)
            for j in range(size)
        ]
        + [sum(share * row[i] * target for row, target, share in told)]
        for i in range(size)
    ]
    for i in range(size):  # Gauss and Jordan; positive definite, so that no pivot is nought
        pivot = matrix[i][i]
        matrix[i] = [value / pivot for value in matrix[i]]
        for j in range(size):
            if j != i:
                factor = matrix[j][i]
                pairs = zip(matrix[j], matrix[i], strict=True)
                matrix[j] = [mine - factor * other for mine, other in pairs]
    return [row[-1] for row in matrix]
