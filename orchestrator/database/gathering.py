"""One step of a trial's way as Optuna's own calls, kept back and then written whole.

Samplers, `tell`, notes and artifacts each write for themselves. Here they write into a study that
shows them what they wrote and stores nothing until it is told to.
"""

from __future__ import annotations

import bisect
import copy
import functools
from collections.abc import Callable, Container, Sequence
from operator import attrgetter
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.database.remembering import RememberingStorage
from orchestrator.database.writing import NEW, Changes, one_by_one, own_copy


class Gathered:
    """A trial's next step: what is written to `study` and `trial` waits for `store`."""

    def __init__(
        self,
        study: optuna.Study,
        frozen: FrozenTrial,
        shown: Callable[[list[FrozenTrial]], list[FrozenTrial]] = lambda trials: trials,
    ) -> None:
        """Begin with `frozen`: a trial of the study that has not ended, or one under the id NEW.

        Args:
            shown: what samplers see in place of the study's other trials.
        """
        study._thread_local.cached_all_trials = None  # as `Study.ask` and `tell` begin
        self._storage = _Gathering(study._storage, study._study_id, frozen, shown)
        self.study = copy.copy(study)
        self.study._storage = self._storage  # type: ignore[assignment]
        self.trial = optuna.trial.Trial(self.study, frozen._trial_id)

    def store(self) -> int:
        """Write what was gathered, in one transaction where the storage has such; the trial's id.

        Raises:
            Crossed: somebody else took the trial, or the number of a new one.
            UpdateFinishedTrialError: the trial was ended by somebody else.
        """
        return self._storage.store()


class _Gathering:
    """A storage before another one, with one trial as it is going to be."""

    def __init__(
        self,
        storage: Any,
        study: int,
        frozen: FrozenTrial,
        shown: Callable[[list[FrozenTrial]], list[FrozenTrial]],
    ) -> None:
        self._storage = storage
        self._shown = shown
        self._study = study
        self._trial = own_copy(frozen)
        self._changes = Changes()
        if frozen.state is TrialState.WAITING:
            self._changes.begins = True
            self._trial.state = TrialState.RUNNING
            self._trial.datetime_start = self._changes.time

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def store(self) -> int:
        identity, changes = self._trial._trial_id, self._changes
        if identity == NEW:
            return int(self._storage.create_new_trial(self._study, self._trial))
        if changes == Changes(time=changes.time):
            return identity
        if isinstance(self._storage, RememberingStorage):
            self._storage.change(identity, changes)
        else:
            one_by_one(self._storage, self._study, identity, changes)
        return identity

    # ------------------------------------------------------------------ reading

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id == self._trial._trial_id:
            return own_copy(self._trial)
        return self._storage.get_trial(trial_id)  # type: ignore[no-any-return]

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        return self.get_trial(trial_id).system_attrs

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        found = self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        if self._trial._trial_id != NEW:
            found = [trial for trial in found if trial.number != self._trial.number]
        found = self._shown(found)
        if states is None or self._trial.state in states:
            bisect.insort(found, self._trial, key=attrgetter("number"))
        return found

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Those that belong to the trial: the dashboard keeps each trial's note with the study."""
        return {**self._attributes, **self._changes.study_system_attrs}

    @functools.cached_property
    def _attributes(self) -> dict[str, Any]:
        if isinstance(self._storage, RememberingStorage):
            return self._storage.attributes_about(self._study, self._trial._trial_id)
        return dict(self._storage.get_study_system_attrs(self._study))

    # ------------------------------------------------------------------ writing

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, found: BaseDistribution
    ) -> None:
        self._changes.params[param_name] = (param_value_internal, found)
        self._trial.params[param_name] = found.to_external_repr(param_value_internal)
        self._trial.distributions[param_name] = found

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._changes.user_attrs[key] = self._trial.user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._changes.system_attrs[key] = self._trial.system_attrs[key] = value

    def set_trial_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        self._changes.intermediate_values[step] = self._trial.intermediate_values[step] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._changes.study_system_attrs[key] = value

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        self._changes.ends = self._trial.state = state
        self._changes.values = None if values is None else list(values)
        self._trial.values = self._changes.values
        return True
