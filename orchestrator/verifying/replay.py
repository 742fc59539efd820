"""Suggestions and decisions to prune, made once more from what the record says was known then."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from orchestrator.database.given import GivenTrials
from orchestrator.proposing.ask import FIXED_PARAMS
from orchestrator.proposing.decisions import Decision, answer
from orchestrator.proposing.pruner import pruner_of
from orchestrator.proposing.sampler import make_sampler
from orchestrator.proposing.view import View, numbers_in
from orchestrator.study.counting.history import InTermsOfNow
from orchestrator.study.journal import Entry
from orchestrator.verifying.findings import Report
from protocol.errors import SettingsError

_RUNG = "completed_rung_"  # how successive halving marks a trial

Marks = Mapping[int, Mapping[str, float]]  # of running trials, as far as they were decided


def check_suggestions(report: Report, study: optuna.Study, journal: list[Entry]) -> None:
    """Recompute every trial's point."""
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state is TrialState.WAITING:
            continue
        place = f"trial {trial.number}"
        if "visible" not in trial.user_attrs:
            report.cannot(f"{place} does not say what its sampler could see")
            continue
        view = View.model_validate(trial.user_attrs["visible"])
        entry = _entry(report, journal, view.settings, place)
        if entry is None:
            continue
        report.looked["suggestion"] += 1
        again = _suggested(journal, entry, study, trials, trial, view)
        if again != trial.params and not _half_asked(trial, again):
            differing = sorted(
                key for key in {*again, *trial.params} if again.get(key) != trial.params.get(key)
            )
            told = "; ".join(
                f"{key} is {trial.params.get(key)!r}, recomputed {again.get(key)!r}"
                for key in differing
            )
            report.add(place, f"its parameters are not what the sampler proposes: {told}")


def check_decisions(
    report: Report, study: optuna.Study, journal: list[Entry], decisions: list[Decision]
) -> None:
    """Recompute every decision of the pruner, in the order in which they were taken."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    marks: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for line, decision in enumerate(decisions, start=1):
        place = f"decisions.jsonl, line {line} (trial {decision.trial}, step {decision.step})"
        trial = trials.get(decision.trial)
        entry = _entry(report, journal, decision.view.settings, place)
        if trial is None:
            report.add(place, f"the study has no trial {decision.trial}")
        elif decision.step not in trial.intermediate_values:
            report.add(place, "the database has no value at this step")
        elif entry is not None:
            report.looked["pruning decision"] += 1
            prune, noted = _decided(entry, study, trials, decision, marks)
            if prune != decision.prune:
                said = {True: "to stop", False: "to go on"}
                report.add(
                    place,
                    f"decided {said[decision.prune]}, recomputed {said[prune]} from the record",
                )
            elif noted != decision.marks:
                report.add(place, f"notes {decision.marks}, recomputed {noted}")
        marks[decision.trial].update(decision.marks)


def _entry(report: Report, journal: list[Entry], line: int | None, place: str) -> Entry | None:
    """The settings in effect; None where the record does not have them."""
    if line is None:
        report.cannot("trials that were begun before a journal was kept cannot be recomputed")
        return None
    if line >= len(journal):
        report.add(place, f"journal.jsonl has no line {line + 1}, under which it was begun")
        return None
    return journal[line]


def _half_asked(trial: FrozenTrial, again: Mapping[str, Any]) -> bool:
    """A running trial that a kill cut off between two values is completed when it is resumed."""
    return trial.state is TrialState.RUNNING and trial.params.items() <= again.items()


def _suggested(
    journal: list[Entry],
    entry: Entry,
    study: optuna.Study,
    trials: list[FrozenTrial],
    trial: FrozenTrial,
    view: View,
) -> dict[str, Any]:
    settings = entry.settings
    known = journal[: (view.settings or 0) + 1]
    shown = InTermsOfNow(known, settings.search, {})
    storage = InMemoryStorage()
    identity = storage.create_new_study(study.directions, study.study_name)
    seen = {trial.number: trial for trial in shown(_seen(trials, view, {}))}
    attributes = {key: value for key, value in trial.system_attrs.items() if key == FIXED_PARAMS}
    for number in range(trial.number):
        storage.create_new_trial(identity, seen.get(number, _unknown(number)))
    asked = optuna.trial.create_trial(state=TrialState.RUNNING, system_attrs=attributes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the first asking had to say
        again = optuna.Study(
            study.study_name,
            storage,
            sampler=make_sampler(settings.sampler, settings.search, settings.seed, trial.number),
            pruner=pruner_of(settings, entry.space),
        )
        made = optuna.trial.Trial(again, storage.create_new_trial(identity, asked))
        try:
            entry.space.suggest(made)
        except (SettingsError, ValueError) as error:
            return {"(cannot be asked again)": str(error)}
    return dict(made.params)


def _unknown(number: int) -> FrozenTrial:
    """A trial that could not be seen: waiting, or asked for at the same time."""
    return optuna.trial.create_trial(state=TrialState.WAITING)


def _decided(
    entry: Entry,
    study: optuna.Study,
    trials: Mapping[int, FrozenTrial],
    decision: Decision,
    marks: Marks,
) -> tuple[bool, dict[str, float]]:
    asked = _running_at(trials[decision.trial], decision.step, marks.get(decision.trial, {}))
    known = [*_seen(trials.values(), decision.view, marks), asked]
    seen = GivenTrials(sorted(known, key=lambda trial: trial.number))
    seen.create_new_study(study.directions, study.study_name)
    pruner = pruner_of(entry.settings, entry.space)
    return answer(pruner, optuna.Study(study.study_name, seen, pruner=pruner), asked)


def _seen(trials: Iterable[FrozenTrial], view: View, marks: Marks) -> list[FrozenTrial]:
    """The trials of a view as they were: of those that were running what was known then."""
    finished, running = set(numbers_in(view.finished)), set(numbers_in(view.running))
    found = []
    for trial in trials:
        if trial.number in finished:
            found.append(trial)
        elif trial.number in running:
            known = view.known.get(trial.number)
            found.append(_running_at(trial, known, marks.get(trial.number, {})))
    return found


def _running_at(trial: FrozenTrial, step: int | None, marks: Mapping[str, float]) -> FrozenTrial:
    """A trial as it was when it had reported `step`."""
    then = copy.copy(trial)
    then.state = TrialState.RUNNING
    then.values = None
    then.datetime_complete = None
    then.intermediate_values = {
        known: value
        for known, value in trial.intermediate_values.items()
        if step is not None and known <= step
    }
    kept = {key: value for key, value in trial.system_attrs.items() if not key.startswith(_RUNG)}
    then.system_attrs = {**kept, **marks}
    return then
