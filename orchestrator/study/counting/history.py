"""What trials of earlier settings are in terms of those of now.

A study's space may grow: a key that was fixed is searched, one that was searched is fixed. The
database keeps each trial as it was asked for. What the keys were that it was not asked for, the
journal knows: they had the value that was fixed when its point was proposed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from orchestrator.settings.space import Search, active, distribution, ordered
from orchestrator.study.journal import Entry


def entry_of(entries: Sequence[Entry], trial: FrozenTrial) -> Entry | None:
    """The settings under which a trial's point was proposed, or would have been.

    Args:
        entries: the journal, as far as it was written at the moment that is looked at.
    """
    if not entries:
        return None
    line = trial.user_attrs.get("visible", {}).get("settings")
    if isinstance(line, int) and line < len(entries):
        return entries[line]
    before = [entry for entry in entries if entry.from_trial <= trial.number]
    return (before or entries)[-1 if before else 0]


def fixed_for(
    fixed: Mapping[str, Any], search: Search, entry: Entry | None, point: Mapping[str, Any]
) -> dict[str, Any]:
    """What is fixed for a trial of an earlier space: also what is searched by now and was not.

    Args:
        fixed: the recipe of now.
        search: of now.
        entry: the settings under which the trial's point was proposed.
        point: its point.
    """
    then = entry.settings.recipe if entry is not None else {}
    missing = {key: then[key] for key in then if key not in point and key in search}
    return {**fixed, **missing}


def counted(trial: FrozenTrial, entry: Entry, search: Search, order: Sequence[str]) -> FrozenTrial:
    """A trial with the searched keys of now, those that its own space did not have included.

    Args:
        order: the searched keys, each after those that its condition names.
    """
    params, distributions = {}, {}
    values = {key: known for key, known in entry.values.items() if key not in entry.settings.search}
    values |= trial.params
    for key in order:
        spec = search[key]
        if key in trial.params:
            params[key], distributions[key] = trial.params[key], trial.distributions[key]
        elif key in values and active(spec, values):
            params[key], distributions[key] = values[key], distribution(spec)
    found = copy.copy(trial)
    found.params, found.distributions = params, distributions
    return found


class InTermsOfNow:
    """Shows a study's trials as they count in the space of now.

    Trials that are ignored are left out. Ended trials are translated once.
    """

    def __init__(
        self, entries: Sequence[Entry], search: Search, ignored: Mapping[int, Any]
    ) -> None:
        self._entries, self._search, self._ignored = entries, search, ignored
        self._as_asked = all(entry.settings.search.keys() == search.keys() for entry in entries)
        conditions = (key for spec in search.values() for key in spec.when)
        self._order = ordered(search, dict.fromkeys(conditions))
        self._known: dict[int, FrozenTrial] = {}

    def __call__(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """The same trials, or others in their place; those that wait stay what they are."""
        if self._ignored:
            trials = [trial for trial in trials if trial.number not in self._ignored]
        return trials if self._as_asked else [self._shown(trial) for trial in trials]

    def _shown(self, trial: FrozenTrial) -> FrozenTrial:
        known = self._known.get(trial._trial_id)
        if known is not None:
            return known
        entry = entry_of(self._entries, trial)
        if entry is None or entry.settings.search.keys() == self._search.keys():
            found = trial
        else:
            found = counted(trial, entry, self._search, self._order)
        if trial.state.is_finished():
            self._known[trial._trial_id] = found
        return found
