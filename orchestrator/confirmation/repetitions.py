"""The runs of a confirmation: trials of a study of their own, each a trial of the search again.

A run is known by the trial that it repeats and its count among that trial's repetitions. Its seed
depends on these two alone, so asking for more trials or more seeds later only adds runs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator import words
from orchestrator.settings.schema import Settings
from orchestrator.study.counting.history import entry_of, fixed_for
from orchestrator.study.journal import Entry
from orchestrator.study.ranking import drop_checkpoints, rank_trials
from orchestrator.study.record import StudyRecord, TrialRecord
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.recipe import Recipe
from protocol.seeds import derive_seed

_CONFIRMS, _REPETITION = "confirms", "repetition"  # the runs' user attributes


@dataclass(frozen=True)
class Repetition:
    """Which run it is."""

    source: int  # the number of the trial that is trained again
    count: int  # from 0

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Repetition:
        """What a run's user attributes say."""
        return cls(int(attributes[_CONFIRMS]), int(attributes[_REPETITION]))

    @property
    def attributes(self) -> dict[str, int]:
        return {_CONFIRMS: self.source, _REPETITION: self.count}

    def seed(self, study_seed: int) -> int:
        """The seed of all training randomness of this run."""
        return derive_seed(study_seed, "confirm", self.source, self.count)


@dataclass(frozen=True, kw_only=True)
class Repetitions:
    """Gives the runner the runs that are missing: every trial's first, every trial's second, …"""

    folder: StudyFolder  # of the confirmations, as is the study
    study: optuna.Study
    settings: Settings
    sources: Mapping[int, FrozenTrial]  # of the search, the best first
    seeds: int  # repetitions of each
    journal: Sequence[Entry] = ()  # of the search

    def look_anew(self) -> None:
        """What a search is changed to changes no run."""

    def ask(self) -> tuple[optuna.Trial, Recipe]:
        """The next missing run."""
        run = self.missing()[0]
        source = self.sources[run.source]
        # In one transaction, so that a kill leaves no run or one with all of its parameters.
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=source.params,
                distributions=source.distributions,
                user_attrs=run.attributes,
            )
        )
        return self.attach(self.study.get_trials(deepcopy=False)[-1])

    def attach(self, frozen: FrozenTrial) -> tuple[optuna.Trial, Recipe]:
        """A run that is in the study, and its recipe."""
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        source = self.sources.get(Repetition.of(frozen.user_attrs).source)
        entry = None if source is None else entry_of(self.journal, source)
        point = frozen.params
        fixed = fixed_for(self.settings.recipe, self.settings.search, entry, point)
        return trial, Recipe.of({**fixed, **point}, scripted=self.settings.scripted)

    def trial_seed(self, number: int) -> int:
        """The seed of all training randomness of the run under `number`."""
        frozen = self.study.get_trials(deepcopy=False)[number]
        return Repetition.of(frozen.user_attrs).seed(self.settings.seed)

    def prunes(self, run: optuna.Trial, step: int) -> bool:
        """Never: a value that is to be compared must be trained for."""
        return False

    def describe(self, run: optuna.Trial) -> Mapping[str, Any]:
        """Which run it is, and its parameters."""
        return {**Repetition.of(run.user_attrs).attributes, **run.params}

    def tidy(self) -> None:
        """Where only the best are kept: remove the checkpoints but for every source's best run."""
        if self.settings.keep.best_trials is None:
            return
        best: dict[int, int] = {}
        for run in rank_trials(self.study):
            best.setdefault(Repetition.of(run.user_attrs).source, run.number)
        drop_checkpoints(self.folder, self.study, set(best.values()), self._cleared)

    @functools.cached_property
    def _cleared(self) -> set[int]:
        return set()

    def missing(self) -> list[Repetition]:
        """The runs that were asked for and have not begun, in the order of their turns."""
        begun = {Repetition.of(trial.user_attrs) for trial in self._runs()}
        return missing_runs(list(self.sources), self.seeds, begun)

    @property
    def total(self) -> int:
        """All runs: the missing, and those there are, also of trials asked for earlier."""
        return len(self._runs()) + len(self.missing())

    def _runs(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


def missing_runs(sources: list[int], seeds: int, begun: set[Repetition]) -> list[Repetition]:
    """The runs of `sources` that have not begun; first the first one of every source."""
    wanted = [Repetition(source, count) for count in range(seeds) for source in sources]
    return [run for run in wanted if run not in begun]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The trials to train again, the best first, and what the user should know of the choice."""

    trials: list[TrialRecord]
    notices: list[str]


def best_sources(record: StudyRecord, top: int) -> Sources:
    """The best `top` trials; of trials with equal parameters only the best.

    Raises:
        SettingsError: no trial is complete.
    """
    if not record.ranked:
        counts = ", ".join(f"{count} {state}" for state, count in record.counts.items())
        raise SettingsError(
            f"no trial of study {record.name!r} is complete, so there is nothing to confirm "
            f"({counts or 'no trials'}); search on, or see `status` for why each ended"
        )
    chosen: list[TrialRecord] = []
    notices = []
    for trial in record.ranked:
        if len(chosen) == top:
            break
        twin = next((other for other in chosen if other.params == trial.params), None)
        if twin is None:
            chosen.append(trial)
        else:
            notices.append(
                f"trial {trial.number} has the same parameters as trial {twin.number} and is not "
                "trained again beside it"
            )
    if len(chosen) < top:
        notices.append(
            f"--top: found {words.counted(len(chosen), 'complete trial')} to confirm, "
            f"expected {top}; those there are will be taken"
        )
    return Sources(trials=chosen, notices=notices)
