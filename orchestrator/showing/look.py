"""A study, read for showing: whoever works on it is not disturbed."""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
import yaml
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from orchestrator.confirmation.saved import Confirmation, load_confirmation
from orchestrator.ledger.study import Ledger, study_ledger
from orchestrator.study.counting.ignored import ignored_trials
from orchestrator.study.find import database_of, opened_to_read, read_study, require_study
from orchestrator.study.holding.lock import holder_of
from orchestrator.study.peek import peek
from orchestrator.study.record import StudyRecord, TrialRecord, record_of
from protocol.folders import StudyFolder
from protocol.messages import Plan, latest_plan

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class GivenTrials(InMemoryStorage):
    """A storage that has some trials as they are, with their own numbers."""

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


@dataclass(frozen=True, kw_only=True)
class Look:
    """A study as it stood at one moment."""

    folder: StudyFolder
    record: StudyRecord
    trials: Sequence[FrozenTrial]  # by number
    content: dict[str, Any]  # of study.yml; empty where that cannot be read
    confirmation: Confirmation | None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def settings(self) -> dict[str, Any]:
        settings = self.content.get("settings")
        return settings if isinstance(settings, dict) else {}

    @property
    def metric(self) -> str:
        return str(self.section("objective").get("metric", "value"))

    def section(self, name: str) -> dict[str, Any]:
        """A section of the settings; empty where there is none."""
        section = self.settings.get(name)
        return section if isinstance(section, dict) else {}

    @cached_property
    def best(self) -> TrialRecord | None:
        return self.record.best

    @cached_property
    def ledger(self) -> Ledger:
        """What the study's devices went into."""
        holder = holder_of(self.folder)
        return study_ledger(self.folder, self.record, holder.start if holder else math.inf)

    @cached_property
    def plan(self) -> Plan | None:
        """What the best trial's last attempt had to do; of a study without a best, the latest."""
        numbers = [self.best.number] if self.best else [t.number for t in self.record.trials[::-1]]
        plans = (latest_plan(self.folder.trial(number)) for number in numbers)
        return next((plan for plan in plans if plan is not None), None)

    @cached_property
    def searched(self) -> list[str]:
        """The keys that trials of this study were given values for, in the settings' order."""
        found = dict.fromkeys(name for trial in self.record.trials for name in trial.params)
        known = [name for name in self.section("search") if name in found]
        return list(dict.fromkeys([*known, *found]))

    def study_of(self, trials: Sequence[FrozenTrial]) -> optuna.Study:
        """Some of the trials as a study that Optuna's own plots take."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return optuna.create_study(
            storage=GivenTrials(trials), study_name=self.name, direction=self.record.direction
        )


def look(folder: StudyFolder) -> Look:
    """Read a study.

    Raises:
        SettingsError: there is no such study, or its database cannot be read.
    """
    require_study(folder)
    known = peek(folder)
    if known.url is None and not folder.database.exists():
        read_study(folder)  # which says what is missing
    study = opened_to_read(database_of(folder), folder.name, known.identity)
    try:
        record = record_of(study)
        ignored = ignored_trials(study)
        found = study.get_trials(deepcopy=False)
        trials = [_left_out(t) if t.number in ignored else t for t in found]
    finally:
        study._storage.remove_session()
    return Look(
        folder=folder,
        record=record,
        trials=trials,
        content=_study_file(folder),
        confirmation=load_confirmation(folder),
    )


def _left_out(trial: FrozenTrial) -> FrozenTrial:
    """An ignored trial in its place, by which Optuna's plots count, with nothing to be drawn."""
    shown = copy.copy(trial)
    shown.state, shown.values, shown.intermediate_values = TrialState.FAIL, None, {}
    return shown


def _study_file(folder: StudyFolder) -> dict[str, Any]:
    """As it is, also that of an earlier version: a report does not need every key to be known."""
    try:
        content = yaml.load(folder.settings.read_text(), Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
