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
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import suggest
from protocol.seeds import derive_seed


class TrialSource(Protocol):
    """Where the runner gets its trials from."""

    def ask(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """A new trial, which the study then has as running, and its recipe."""
        ...

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, dict[str, Any]]:
        """A trial that an earlier run left running, and its recipe."""
        ...

    def trial_seed(self, number: int) -> int:
        """The seed of all training randomness of trial `number`."""
        ...


@dataclass(frozen=True)
class Asker:
    """Asks `study` for trials, with a sampler made for each."""

    study: optuna.Study
    settings: Settings
    defaults: Mapping[str, Any]  # of the family's recipe keys

    def ask(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """A new trial and its recipe."""
        trials = self.study.get_trials(deepcopy=False)
        waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
        self._choose_sampler(min(waiting, default=len(trials)))
        return self._complete(self.study.ask(), trials)

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, dict[str, Any]]:
        """An existing running trial and its recipe; values it lacks are proposed now."""
        self._choose_sampler(frozen.number)
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        return self._complete(trial, self.study.get_trials(deepcopy=False))

    def trial_seed(self, number: int) -> int:
        """The seed of all training randomness of trial `number`."""
        return derive_seed(self.settings.seed, "trial", number)

    def _choose_sampler(self, number: int) -> None:
        settings = self.settings
        self.study.sampler = make_sampler(settings.sampler, settings.search, settings.seed, number)

    def _complete(
        self, trial: optuna.Trial, trials: list[FrozenTrial]
    ) -> tuple[optuna.Trial, dict[str, Any]]:
        if "visible" not in trial.user_attrs:
            trial.set_user_attr("visible", visible(trials, trial.number))
        return trial, suggest(trial, self.settings.search, self.settings.recipe, self.defaults)


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
