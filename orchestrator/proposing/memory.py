"""What follows from each ended trial alone, found once: samplers ask for it at every trial.

An ended trial never changes, so what is kept here never grows old; a suggestion is the same with
it and without, which `verify` shows by asking without. What follows from several trials, such as
which of them are the good ones, is found anew for the trials that can be seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

_COMPLETE, _PRUNED, _INFEASIBLE = range(3)
_identity = attrgetter("_trial_id")


@dataclass
class Column:
    """Numbers that can be appended to in constant time."""

    _buffer: Floats = field(default_factory=lambda: np.empty(64))
    _length: int = 0

    def append(self, number: float) -> None:
        if self._length == len(self._buffer):
            self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)])
        self._buffer[self._length] = number
        self._length += 1

    def at(self, rows: Rows) -> Floats:
        return self._buffer[: self._length][rows]

    def __len__(self) -> int:
        return self._length


class Memory:
    """Of one study: a row for every ended trial that a sampler was ever shown."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}  # by trial id
        self._asked: tuple[list[FrozenTrial], Rows] = [], np.empty(0, np.intp)  # for the last time
        self._trials: list[FrozenTrial] = []
        self._numbers, self._kinds = Column(), Column()
        self._firsts, self._seconds = Column(), Column()  # what trials of a kind are ranked by
        self._key_sets: dict[frozenset[str], int] = {}
        self._key_set_of = Column()
        self._values: dict[tuple[str, Any], Column] = {}

    def rows(self, trials: list[FrozenTrial]) -> Rows:
        """The rows of ended trials, in their order."""
        asked, rows = self._asked
        if trials == asked:  # the very same objects, as a rule
            return rows
        identities = list(map(_identity, trials))
        if not self._rows.keys() >= set(identities):
            for trial in trials:
                if trial._trial_id not in self._rows:
                    self._add(trial)
        rows = np.fromiter(map(self._rows.__getitem__, identities), np.intp, len(trials))
        self._asked = trials, rows
        return rows

    def first_of_each_key_set(self, rows: Rows) -> list[FrozenTrial]:
        """Of trials that have values of the same keys the first one, in the order of these."""
        if not len(rows):
            return []
        _, first = np.unique(self._key_set_of.at(rows), return_index=True)
        return [self._trials[rows[index]] for index in np.sort(first)]

    def best(self, rows: Rows, count: int, *, largest: bool) -> NDArray[np.bool_]:
        """Which of the trials are TPE's `count` good ones: complete, then pruned, then infeasible.

        Args:
            rows: of complete and pruned trials, by number.
            count: as many as are good, if there are so many.
            largest: whether the largest values are the best.
        """
        good = np.zeros(len(rows), dtype=bool)
        sign = -1.0 if largest else 1.0
        kinds = self._kinds.at(rows)
        for kind in (_COMPLETE, _PRUNED, _INFEASIBLE):
            (of_kind,) = np.nonzero(kinds == kind)
            first, second = self._firsts.at(rows[of_kind]), self._seconds.at(rows[of_kind])
            if kind == _COMPLETE:
                order = np.argsort(sign * first, kind="stable")
            elif kind == _PRUNED:
                # NaN, which stands for the worst of a step, has no sign.
                second = np.where(np.isnan(second), np.inf, sign * second)
                order = np.lexsort((second, first))
            else:
                order = np.argsort(first, kind="stable")
            chosen = of_kind[order[:count]]
            good[chosen] = True
            count = max(0, count - len(chosen))
        return good

    def numbers(self, rows: Rows) -> Floats:
        """The trials' numbers."""
        return self._numbers.at(rows)

    def values(self, rows: Rows, space: dict[str, BaseDistribution]) -> Floats:
        """Values of some keys as their distributions count them; (trials, keys), NaN for none."""
        return np.array([self._column(key, found).at(rows) for key, found in space.items()]).T

    def _column(self, key: str, distribution: BaseDistribution) -> Column:
        """Of one key: a choice counts by its place, a number is the same in every range."""
        choices = isinstance(distribution, CategoricalDistribution) and distribution.choices
        column = self._values.setdefault((key, choices), Column())
        for trial in self._trials[len(column) :]:
            known = key in trial.params
            column.append(distribution.to_internal_repr(trial.params[key]) if known else math.nan)
        return column

    def _add(self, trial: FrozenTrial) -> None:
        self._rows[trial._trial_id] = len(self._trials)
        self._trials.append(trial)
        self._numbers.append(trial.number)
        keys = frozenset(trial.params)
        self._key_set_of.append(self._key_sets.setdefault(keys, len(self._key_sets)))
        kind, first, second = _standing(trial)
        self._kinds.append(kind)
        self._firsts.append(first)
        self._seconds.append(second)


def _standing(trial: FrozenTrial) -> tuple[int, float, float]:
    """Among which trials TPE ranks a trial, and by what, before the direction is known."""
    violation = sum(value for value in trial.constraints.values() if value > 0)
    if violation > 0:
        return _INFEASIBLE, violation, 0.0
    if trial.state is TrialState.COMPLETE:
        assert trial.value is not None
        return _COMPLETE, trial.value, 0.0
    if not trial.intermediate_values:
        return _PRUNED, 1.0, 0.0
    step, value = max(trial.intermediate_values.items())
    return _PRUNED, -float(step), value
