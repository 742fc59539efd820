"""Getting the next trial: a new one, or one that an interruption left half-asked.

Each trial remembers under which history its point was proposed (`visible`), so that any
suggestion can be recomputed later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.proposing.sampler import make_sampler
from orchestrator.settings.checks import trials_in_all
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Space
from orchestrator.study.ranking import keep_best
from protocol.folders import StudyFolder
from protocol.recipe import Recipe
from protocol.seeds import derive_seed


class TrialSource(Protocol):
    """Where the runner gets its trials from, and what it is to make of them."""

    @property
    def total(self) -> int:
        """Trials of the whole study."""
        ...

    def ask(self) -> tuple[optuna.Trial, Recipe]:
        """A new trial, which the study then has as running, and its recipe."""
        ...

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, Recipe]:
        """A trial that an earlier run left running, and its recipe."""
        ...

    def trial_seed(self, number: int) -> int:
        """The seed of all training randomness of trial `number`."""
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

    @property
    def total(self) -> int:
        """The settings' number of trials; a grid ends when all of it was tried."""
        return trials_in_all(self.settings)

    def ask(self) -> tuple[optuna.Trial, Recipe]:
        """A new trial and its recipe."""
        trials = self.study.get_trials(deepcopy=False)
        waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
        self._choose_sampler(min(waiting, default=len(trials)))
        return self._complete(self.study.ask(), trials)

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, Recipe]:
        """An existing running trial and its recipe; values it lacks are proposed now."""
        self._choose_sampler(frozen.number)
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        return self._complete(trial, self.study.get_trials(deepcopy=False))

    def trial_seed(self, number: int) -> int:
        """The seed of all training randomness of trial `number`."""
        return derive_seed(self.settings.seed, "trial", number)

    def describe(self, trial: optuna.Trial) -> Mapping[str, Any]:
        """Its searched values."""
        return trial.params

    def tidy(self) -> None:
        """Keep the checkpoints of as many of the best trials as the settings say."""
        keep_best(self.folder, self.study, self.settings.keep.best_trials)

    def _choose_sampler(self, number: int) -> None:
        settings = self.settings
        self.study.sampler = make_sampler(settings.sampler, settings.search, settings.seed, number)

    def _complete(
        self, trial: optuna.Trial, trials: list[FrozenTrial]
    ) -> tuple[optuna.Trial, Recipe]:
        if "visible" not in trial.user_attrs:
            trial.set_user_attr("visible", visible(trials, trial.number))
        return trial, self.space.recipe(self.space.suggest(trial))


def visible(trials: Iterable[FrozenTrial], number: int) -> dict[str, str]:
    """Which trials the sampler can see, as ranges of numbers by state."""
    others = [trial for trial in trials if trial.number != number]
    finished = [trial.number for trial in others if trial.state.is_finished()]
    running = [trial.number for trial in others if trial.state == TrialState.RUNNING]
    return {"finished": ranges(finished), "running": ranges(running)}


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: [0, 1, 2, 5] as "0-2,5"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
