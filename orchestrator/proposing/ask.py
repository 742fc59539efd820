"""Getting the next trial: a new one, or one that an interruption left half-asked.

Each trial remembers under which history its point was proposed (`visible`), so that any
suggestion can be recomputed later; what the pruner decides is kept in `decisions`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.database.gathering import Gathered
from orchestrator.database.writing import Crossed
from orchestrator.proposing.decisions import Decisions
from orchestrator.proposing.memory import Memory
from orchestrator.proposing.pruner import pruner_of
from orchestrator.proposing.sampler import make_sampler
from orchestrator.proposing.view import View
from orchestrator.settings.checks import trials_in_all
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Space
from orchestrator.study.ranking import keep_best
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.recipe import Recipe
from protocol.seeds import derive_seed


class InvalidPoint(Exception):
    """A point of the search that cannot be trained; its trial is in the study, as running."""

    def __init__(self, trial: optuna.Trial, reason: str) -> None:
        super().__init__(reason)
        self.trial = trial


class TrialSource(Protocol):
    """Where the runner gets its trials from, and what it is to make of them."""

    @property
    def total(self) -> int:
        """Trials of the whole study."""
        ...

    def ask(self) -> tuple[optuna.Trial, Recipe]:
        """A new trial, which the study then has as running, and its recipe.

        Raises:
            InvalidPoint: it cannot be trained.
        """
        ...

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, Recipe]:
        """A trial that an earlier run left running, and its recipe.

        Raises:
            InvalidPoint: it cannot be trained.
        """
        ...

    def trial_seed(self, number: int) -> int:
        """The seed of all training randomness of trial `number`."""
        ...

    def prunes(self, trial: optuna.Trial, step: int) -> bool:
        """Whether a trial is to end at a step that was reported; the same whenever it is asked."""
        ...

    def describe(self, trial: optuna.Trial) -> Mapping[str, Any]:
        """What displays show of a trial."""
        ...

    def tidy(self) -> None:
        """After every trial: remove the checkpoints that are not kept."""
        ...


@dataclass(frozen=True)
class Asker:
    """Asks `study` for trials, with a sampler made for each."""

    folder: StudyFolder
    study: optuna.Study
    settings: Settings
    space: Space
    journal_line: int = 0  # where the journal has these settings

    def __post_init__(self) -> None:
        self.study.pruner = pruner_of(
            self.settings, self.space
        )  # Hyperband's brackets, of samplers

    @functools.cached_property
    def _decisions(self) -> Decisions:
        return Decisions(self.folder, self.study)

    @functools.cached_property
    def _cleared(self) -> set[int]:
        return set()

    @functools.cached_property
    def _memory(self) -> Memory:
        return Memory()

    @property
    def total(self) -> int:
        """The settings' number of trials; a grid ends when all of it was tried."""
        return trials_in_all(self.settings)

    def ask(self) -> tuple[optuna.Trial, Recipe]:
        """A new trial and its recipe: the one that waits longest, or one after all others."""
        while True:
            trials = self.study.get_trials(deepcopy=False)
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            with contextlib.suppress(Crossed):  # with what was enqueued meanwhile
                return self._complete(waiting[0] if waiting else _new_trial(len(trials)), trials)

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, Recipe]:
        """An existing running trial and its recipe; values it lacks are proposed now."""
        try:
            return self._complete(frozen, self.study.get_trials(deepcopy=False))
        except ValueError as error:  # Optuna's, of a value from another kind of range than now
            trial = optuna.trial.Trial(self.study, frozen._trial_id)
            raise InvalidPoint(trial, f"its values cannot be completed: {error}") from None

    def trial_seed(self, number: int) -> int:
        """The seed of all training randomness of trial `number`."""
        return derive_seed(self.settings.seed, "trial", number)

    def prunes(self, trial: optuna.Trial, step: int) -> bool:
        """What the pruner decides; nothing is asked of a study without one."""
        if self.settings.pruner.kind == "none":
            return False
        pruner = pruner_of(self.settings, self.space)
        frozen = self.study._storage.get_trial(trial._trial_id)
        return self._decisions.prunes(pruner, frozen, step, self.journal_line)

    def describe(self, trial: optuna.Trial) -> Mapping[str, Any]:
        """Its searched values."""
        return trial.params

    def tidy(self) -> None:
        """Keep the checkpoints of as many of the best trials as the settings say."""
        keep_best(self.folder, self.study, self.settings.keep.best_trials, self._cleared)

    def _complete(
        self, frozen: FrozenTrial, trials: list[FrozenTrial]
    ) -> tuple[optuna.Trial, Recipe]:
        """Propose what a trial lacks and store it whole: a kill leaves all of it or nothing."""
        settings = self.settings
        self.study.sampler = make_sampler(
            settings.sampler, settings.search, settings.seed, frozen.number, self._memory
        )
        proposed = Gathered(self.study, frozen)
        if "visible" not in frozen.user_attrs:
            view = View.of(trials, frozen.number, self.journal_line)
            proposed.trial.set_user_attr("visible", view.kept())
        point = self.space.suggest(proposed.trial)
        trial = optuna.trial.Trial(self.study, proposed.store())
        try:
            return trial, self.space.recipe(point)
        except SettingsError as error:
            raise InvalidPoint(trial, str(error)) from None


def _new_trial(number: int) -> FrozenTrial:
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    trial.number = number
    return trial
