"""A study, read for showing: whoever works on it is not disturbed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.confirmation.saved import Confirmation, load_confirmation
from orchestrator.database.given import GivenTrials
from orchestrator.ledger.study import Ledger, study_ledger
from orchestrator.study.find import database_of, opened_to_read, read_study, require_study
from orchestrator.study.holding.lock import holder_of
from orchestrator.study.peek import peek, study_yaml
from orchestrator.study.record import StudyRecord, TrialRecord, record_of
from protocol.folders import StudyFolder
from protocol.messages import Plan, latest_plan


@dataclass(frozen=True, kw_only=True)
class Look:
    """A study as it stood at one moment."""

    folder: StudyFolder
    record: StudyRecord
    trials: Sequence[FrozenTrial]  # by number; those that are ignored as if they had failed
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

    @property
    def ignored(self) -> list[TrialRecord]:
        """The trials that somebody wants to count for nothing."""
        return [trial for trial in self.record.trials if trial.ignored]

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
        ignored = {trial.number for trial in record.trials if trial.ignored}
        trials = [
            _as_failed(trial) if trial.number in ignored else trial
            for trial in study.get_trials(deepcopy=False)
        ]
    finally:
        study._storage.remove_session()
    return Look(
        folder=folder,
        record=record,
        trials=trials,
        content=study_yaml(folder),
        confirmation=load_confirmation(folder),
    )


def _as_failed(trial: FrozenTrial) -> FrozenTrial:
    """A trial that keeps its number, and of whose values no plot knows."""
    failed = copy(trial)
    failed.state, failed.values, failed.intermediate_values = TrialState.FAIL, None, {}
    return failed
