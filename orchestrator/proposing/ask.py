"""Getting the next trial: a new one, or one that an interruption left half-asked.

Each trial remembers under which history its point was proposed (`visible`), so that any
suggestion can be recomputed later; what the pruner decides is kept in `decisions`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import warnings
from collections.abc import Callable, Mapping
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
from orchestrator.settings.schema import Choices, Settings
from orchestrator.settings.space import Space, unreachable
from orchestrator.study.counting.history import InTermsOfNow, entry_of, fixed_for
from orchestrator.study.counting.ignored import ignored_trials
from orchestrator.study.journal import Entry, read_journal
from orchestrator.study.ranking import keep_best
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.recipe import Recipe
from protocol.seeds import derive_seed

log = logging.getLogger(__name__)

FIXED_PARAMS = "fixed_params"  # where Optuna keeps the values that an enqueued point brings along


class InvalidPoint(Exception):
    """A point of the search that cannot be trained; its trial is in the study, as running."""

    def __init__(self, trial: optuna.Trial, reason: str) -> None:
        super().__init__(reason)
        self.trial = trial


class TrialSource(Protocol):
    """Where the runner gets its trials from, and what it is to make of them."""

    @property
    def settings(self) -> Settings:
        """That are in effect."""
        ...

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

    def look_anew(self) -> None:
        """Once the journal or what is ignored has changed: go by what they say now."""
        ...


@dataclass
class Asker:
    """Asks `study` for trials, with a sampler made for each."""

    folder: StudyFolder
    study: optuna.Study
    settings: Settings
    space: Space
    journal_line: int = 0  # where the journal has these settings
    say: Callable[[str], None] = log.info  # tells people a sentence

    def __post_init__(self) -> None:
        self._cleared: set[int] = set()
        self._go_by(read_journal(self.folder))

    def look_anew(self) -> None:
        """Go by the journal's last line from now on, and by what is ignored now."""
        entries = read_journal(self.folder)
        if entries:
            self.journal_line = len(entries) - 1
            self.settings, self.space = entries[-1].settings, entries[-1].space
        self._go_by(entries)

    def _go_by(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._memory = Memory()  # of trials in terms of this space
        self._ignored = ignored_trials(self.study)
        # A grid is walked through, whatever became of its points.
        hidden = {} if self.settings.sampler.kind == "grid" else self._ignored
        self._shown = InTermsOfNow(entries, self.space.search, hidden)
        self.study.pruner = pruner_of(
            self.settings, self.space
        )  # Hyperband's brackets, of samplers

    @functools.cached_property
    def _decisions(self) -> Decisions:
        return Decisions(self.folder, self.study)

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
                frozen = self._possible(waiting[0]) if waiting else _new_trial(len(trials))
                return self._complete(frozen, trials)

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, Recipe]:
        """An existing running trial and its recipe, in the space of its time.

        Values that it lacks are proposed now.
        """
        entry = entry_of(self._entries, frozen)
        if entry is None or entry.settings.search == self.settings.search:
            entry = None
        try:
            return self._complete(frozen, self.study.get_trials(deepcopy=False), entry)
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
        self._decisions.ignored = self._ignored
        frozen = self.study._storage.get_trial(trial._trial_id)
        return self._decisions.prunes(pruner, frozen, step, self.journal_line)

    def describe(self, trial: optuna.Trial) -> Mapping[str, Any]:
        """Its searched values."""
        return trial.params

    def tidy(self) -> None:
        """Keep the checkpoints of as many of the best trials as the settings say."""
        keep_best(self.folder, self.study, self.settings.keep.best_trials, self._cleared)

    def _possible(self, waiting: FrozenTrial) -> FrozenTrial:
        """A trial that waits, without values that no trial can have, such as of a notebook's."""
        asked: dict[str, Any] = waiting.system_attrs.get(FIXED_PARAMS, {})
        for key, value in asked.items():
            if self._can_be(key, value) and (wanted := unreachable(value, self.space.search[key])):
                self.say(
                    f"trial {waiting.number} was enqueued with {key}={value!r}, which is not "
                    f"{wanted}; it is tried all the same"
                )
        possible = {key: value for key, value in asked.items() if self._can_be(key, value)}
        if possible == asked:
            return waiting
        told = ", ".join(f"{key}={asked[key]!r}" for key in asked.keys() - possible.keys())
        self.say(
            f"trial {waiting.number} was enqueued with {told}, which the search does not have; "
            "that is proposed instead"
        )
        self.study._storage.set_trial_system_attr(waiting._trial_id, FIXED_PARAMS, possible)
        return self.study._storage.get_trial(waiting._trial_id)

    def _can_be(self, key: str, value: Any) -> bool:
        """Whether Optuna can store a value; numbers beyond a range are tried if somebody wants."""
        spec = self.space.search.get(key)
        if isinstance(spec, Choices):
            return any(repr(value) == repr(choice) for choice in spec.choices)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return spec is not None and number and math.isfinite(value)

    def _complete(
        self, frozen: FrozenTrial, trials: list[FrozenTrial], entry: Entry | None = None
    ) -> tuple[optuna.Trial, Recipe]:
        """Propose what a trial lacks and store it whole: a kill leaves all of it or nothing.

        Args:
            entry: the settings of its time, where the space was another then.
        """
        settings = self.settings if entry is None else entry.settings
        memory = self._memory if entry is None else None
        self.study.sampler = make_sampler(
            settings.sampler, settings.search, settings.seed, frozen.number, memory
        )
        shown = self._shown
        if entry is not None:
            shown = InTermsOfNow(self._entries, settings.search, self._ignored)
        proposed = Gathered(self.study, frozen, shown)
        if "visible" not in frozen.user_attrs:
            hidden = () if settings.sampler.kind == "grid" else self._ignored
            view = View.of(trials, frozen.number, self.journal_line, hidden)
            proposed.trial.set_user_attr("visible", view.kept())
        space = self.space if entry is None else entry.space
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an enqueued value beyond its range, which was said
            point = space.suggest(proposed.trial)
        trial = optuna.trial.Trial(self.study, proposed.store())
        fixed = fixed_for(self.space.fixed, self.space.search, entry, point)
        try:
            return trial, Recipe.of({**fixed, **point}, scripted=settings.scripted)
        except SettingsError as error:
            raise InvalidPoint(trial, str(error)) from None


def _new_trial(number: int) -> FrozenTrial:
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    trial.number = number
    return trial
