"""A study's trials in memory, read from the database only when somebody else has written to it.

Optuna's cache keeps ended trials and reads every running one again for each look at the study.
This program holds the study's lock, so that nearly every change is its own: it is applied to the
memory as it is written. SQLite tells by a counter whether another connection has committed
anything; of other databases the trials that may have changed are read again at each look.
"""

from __future__ import annotations

import bisect
import copy
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import _CachedStorage
from optuna.storages._cached_storage import _StudyInfo
from optuna.trial import FrozenTrial, TrialState

from orchestrator.database.patient import PatientStorage
from orchestrator.database.writing import Changes, Crossed, changed, own_copy


class RememberingStorage(_CachedStorage):
    """Optuna's cache before a patient storage; what is asked of it twice is answered from memory.

    To be used by one thread.
    """

    _backend: PatientStorage

    def __init__(self, backend: PatientStorage) -> None:
        super().__init__(backend)
        self._doubted = True  # a write failed half-way, or there was none to learn from yet
        self._selected: dict[tuple[int, frozenset[TrialState]], list[FrozenTrial]] = {}
        self._attributes: dict[int, dict[str, Any]] = {}  # the users', by study

    # ------------------------------------------------------------------ reading

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        self._look_elsewhere()
        self._doubted |= study_id not in self._studies
        if self._doubted:
            super()._read_trials_from_remote_storage(study_id)
            self._doubted = False

    def _look_elsewhere(self) -> None:
        if self._backend.changed_elsewhere():
            self._doubted = True
            self._attributes.clear()

    def _add_trials_to_cache(self, study_id: int, trials: list[FrozenTrial]) -> None:
        known = self._studies[study_id].trials
        last = next(reversed(known), -1)
        in_order = all(trial.number > last or trial.number in known for trial in trials)
        before = [known.get(trial.number) for trial in trials]
        super()._add_trials_to_cache(study_id, trials)
        if len(trials) == 1 and in_order:
            self._select(study_id, before[0], trials[0])
        else:
            self._selected.clear()
        if not in_order:
            self._studies[study_id].trials = dict(sorted(known.items()))

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        self._read_trials_from_remote_storage(study_id)
        known = self._studies[study_id].trials  # by number
        if states is None:
            found = list(known.values())
        else:
            found = self._in_states(study_id, frozenset(s for s in TrialState if s in states))
        return copy.deepcopy(found) if deepcopy else found

    def _in_states(self, study_id: int, states: frozenset[TrialState]) -> list[FrozenTrial]:
        """By number. Looks are many, trials thousands: what was found once is kept up to date."""
        if (study_id, states) not in self._selected:
            known = self._studies[study_id].trials.values()
            self._selected[study_id, states] = [trial for trial in known if trial.state in states]
        return list(self._selected[study_id, states])

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial as it is now; may be changed without changing what is remembered."""
        place = self._trial_id_to_study_id_and_number.get(trial_id)
        if place is None:
            return self._backend.get_trial(trial_id)
        study, number = place
        self._read_trials_from_remote_storage(study)
        return own_copy(self._studies[study].trials[number])

    def get_study_name_from_id(self, study_id: int) -> str:
        """As it is now: the dashboard renames studies.

        Raises:
            KeyError: the study is not there any more.
        """
        return self._backend.get_study_name_from_id(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """What is remembered of them; to be changed by nobody."""
        self._look_elsewhere()
        if study_id not in self._attributes:
            self._attributes[study_id] = self._backend.get_study_user_attrs(study_id)
        return self._attributes[study_id]

    def attributes_about(self, study_id: int, trial_id: int) -> dict[str, Any]:
        """The study's system attributes that the dashboard keeps of a trial, such as its note."""
        return self._backend.get_study_system_attrs(study_id, f"dashboard:{trial_id}:")

    # ------------------------------------------------------------------ writing

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._attributes.pop(study_id, None)
        self._backend.set_study_user_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A new trial, as `template_trial` says.

        Raises:
            Crossed: it was made for a number that somebody else has taken.
        """
        known = self._studies.setdefault(study_id, _StudyInfo()).param_distribution
        made = self._backend._create_new_trial(study_id, template_trial, known)
        for key, distribution in made.distributions.items():
            known.setdefault(key, distribution)
        self._add_trials_to_cache(study_id, [made])
        return made._trial_id

    def change(self, trial_id: int, changes: Changes) -> None:
        """Write changes of a trial in one transaction.

        Raises:
            Crossed: it was to begin, and has begun.
            UpdateFinishedTrialError: it has ended.
        """
        place = self._trial_id_to_study_id_and_number.get(trial_id)
        if place is None:
            self._doubted = True
            self._backend.change(trial_id, changes, {})
            return
        study = self._studies[place[0]]
        try:
            self._backend.change(trial_id, changes, study.param_distribution)
        except BaseException:
            self._doubted = True
            raise
        for key, (_, distribution) in changes.params.items():
            study.param_distribution.setdefault(key, distribution)
        self._replace(place, changed(study.trials[place[1]], changes))

    def _replace(self, place: tuple[int, int], trial: FrozenTrial) -> None:
        study, number = place
        before = self._studies[study].trials[number]
        self._studies[study].trials[number] = trial
        self._select(study, before, trial)

    def _select(self, study: int, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Put a trial where it belongs by its state, in place of what it was."""
        for (of_study, states), found in self._selected.items():
            if of_study != study:
                continue
            place = bisect.bisect_left(found, after.number, key=lambda trial: trial.number)
            was = before is not None and before.state in states
            found[place : place + was] = [after] if after.state in states else []

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        self.change(trial_id, Changes(params={param_name: (param_value_internal, distribution)}))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.change(trial_id, Changes(user_attrs={key: value}))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.change(trial_id, Changes(system_attrs={key: value}))

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self.change(trial_id, Changes(intermediate_values={step: intermediate_value}))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        try:
            self.change(trial_id, Changes.of_state(state, values))
        except Crossed:
            return False
        return True
