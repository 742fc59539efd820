"""A storage that shows trials as they are given, for Optuna's pruners and plots."""

from __future__ import annotations

from collections.abc import Container, Sequence

from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class GivenTrials(InMemoryStorage):
    """It has some trials under their own numbers, without a copy of each for every question.

    Args:
        trials: by number.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._given = trials

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return [trial for trial in self._given if states is None or trial.state in states]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return BaseStorage.get_best_trial(self, study_id)  # which asks for the trials
