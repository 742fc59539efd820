"""Each trial's events, plans and outcome against what the database has of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.running.ending.settle import ELSEWHERE, OUTCOME_SHA256, STATES
from orchestrator.running.folds import step_and_value
from orchestrator.verifying.findings import Report
from protocol.files import sha256_of, whole_lines
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import (
    Ending,
    Event,
    Outcome,
    Validated,
    load_outcome,
    load_plans,
    parse_event,
)
from protocol.objective import Objective

_MARKED = (Ending.NONFINITE, Ending.MEMORY)  # endings whose last step holds the worst value instead


def check_numbers(report: Report, study: optuna.Study, folder: StudyFolder) -> None:
    """Numbers without gaps, a folder for every trial that was begun, and none besides."""
    numbers = [trial.number for trial in study.get_trials(deepcopy=False)]
    if numbers != list(range(len(numbers))):
        report.add("database", f"trial numbers have gaps: {numbers}")
    for place in folder.trials():
        if place.number >= len(numbers):
            report.add(place.path.name, "the database has no such trial")


@dataclass(frozen=True)
class TrialChecker:
    """Looks at trials, one after the other."""

    report: Report
    folder: StudyFolder
    objective: Objective
    by_fold: bool  # the study was told of folds rather than of epochs

    def check(self, trial: FrozenTrial) -> None:
        """Compare what the trial's folder and the database say."""
        place = self.folder.trial(trial.number)
        self.report.looked["trial"] += 1
        if not place.path.is_dir():
            if trial.state.is_finished() or trial.intermediate_values:
                self.report.add(place.path.name, "the folder is missing")
            return
        events = self._events(place)
        self._check_order(place, events)
        self._check_attempts(place, events)
        if trial.state.is_finished():
            self._check_outcome(place, trial, events)
        else:
            self._check_values(place, trial, events, None)

    def _events(self, place: TrialFolder) -> list[Event]:
        lines = whole_lines(place.events.read_bytes()) if place.events.exists() else []
        events = []
        for number, line in enumerate(lines, start=1):
            event = parse_event(line)
            if event is not None:
                events.append(event)
            elif line:
                self.report.looked["torn line"] += 1
                if not line.startswith("{"):
                    self._add(place.events, f"line {number} is no event")
        self.report.looked["event"] += len(events)
        return events

    def _check_order(self, place: TrialFolder, events: list[Event]) -> None:
        last: Validated | None = None
        for event in events:
            if isinstance(event, Validated):
                if last is not None and (event.epoch <= last.epoch or event.step < last.step):
                    self._add(
                        place.events,
                        f"epoch {event.epoch} (step {event.step}) comes behind epoch {last.epoch} "
                        f"(step {last.step})",
                    )
                last = event

    def _check_attempts(self, place: TrialFolder, events: list[Event]) -> None:
        attempts = [plan.attempt for plan in load_plans(place)]
        if place.plans.exists() and sorted(set(attempts)) != list(range(len(set(attempts)))):
            self._add(place.plans, f"attempts have gaps: {attempts}")
        unplanned = {event.attempt for event in events} - set(attempts)
        if place.plans.exists() and unplanned:
            self._add(place.events, f"attempts {sorted(unplanned)} were never planned")

    def _check_outcome(self, place: TrialFolder, trial: FrozenTrial, events: list[Event]) -> None:
        outcome = load_outcome(place.outcome)
        if outcome is None:
            what = "is damaged" if place.outcome.exists() else "is missing"
            self._add(place.outcome, f"the trial has ended as {trial.state.name}, but this {what}")
            return
        recorded = trial.user_attrs.get(OUTCOME_SHA256)
        if recorded is None and ELSEWHERE not in outcome.detail:
            self.report.cannot(
                "trials of version 0.2 and earlier do not say what their files were at their end"
            )
        elif recorded is not None and sha256_of(place.outcome, fresh=False) != recorded:
            self._add(place.outcome, "has changed since the trial was told")
        self._check_files(place, outcome)
        self._check_told(place, trial, outcome)
        self._check_values(place, trial, events, outcome)

    def _check_files(self, place: TrialFolder, outcome: Outcome) -> None:
        for name, recorded in outcome.sha256.items():
            file = place.path / name
            self.report.looked["file"] += 1
            if not file.exists():
                self._add(file, "is missing")
            elif sha256_of(file, fresh=False) != recorded:
                self._add(file, "has changed since the trial ended")

    def _check_told(self, place: TrialFolder, trial: FrozenTrial, outcome: Outcome) -> None:
        if ELSEWHERE in outcome.detail:
            expected = str(outcome.detail[ELSEWHERE])
        else:
            expected = STATES[outcome.ending].name
            if trial.state is TrialState.COMPLETE and trial.value != outcome.value:
                self._add(
                    place.outcome, f"value {outcome.value}, but the database has {trial.value}"
                )
        if trial.state.name != expected:
            self._add(
                place.outcome,
                f"the trial {outcome.ending}, which is {expected}, but the database has "
                f"{trial.state.name}",
            )

    def _check_values(
        self,
        place: TrialFolder,
        trial: FrozenTrial,
        events: list[Event],
        outcome: Outcome | None,
    ) -> None:
        told: dict[int, float] = {}
        for event in events:
            found = step_and_value(events, event, self.objective, by_fold=self.by_fold)
            if found is not None:
                told.setdefault(*found)
        known = dict(trial.intermediate_values)
        if outcome is not None and outcome.ending in _MARKED and known:
            known.pop(max(known.keys() - told.keys(), default=-1), None)
        for step in sorted(known.keys() | told.keys()):
            self._check_value(place, step, told, known, whole=_is_whole(trial, outcome))

    def _check_value(
        self,
        place: TrialFolder,
        step: int,
        told: dict[int, float],
        known: dict[int, float],
        *,
        whole: bool,
    ) -> None:
        if step not in told:
            self._add(place.events, f"lacks step {step}, which the database has as {known[step]}")
        elif step not in known:
            if whole:
                self._add(place.events, f"step {step} is {told[step]}, and not in the database")
        elif not _same(told[step], known[step]):
            self._add(
                place.events, f"step {step} is {told[step]}, but the database has {known[step]}"
            )

    def _add(self, file: object, problem: str) -> None:
        self.report.add(str(file).removeprefix(f"{self.folder.path}/"), problem)


def _is_whole(trial: FrozenTrial, outcome: Outcome | None) -> bool:
    """Whether the database has every epoch: not behind a decision to prune, nor while it runs."""
    return trial.state is TrialState.COMPLETE and outcome is not None and not outcome.detail


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
