"""Whether a trial goes on: asked once at each step, written down before it is followed.

A kill between a report and its decision leaves a step that was reported and not decided: the same
question is then asked again. A kill behind the decision leaves its line, which is followed.
Optuna's successive halving commits a trial's rung inside the question; here what it notes is
caught, written down with the answer and only then stored, so that asking again asks the same.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Container, Set
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict

from orchestrator.proposing.view import View
from protocol.files import append_line, read_lines
from protocol.folders import StudyFolder


class Decision(BaseModel):
    """One answer of the pruner."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    trial: int
    step: int
    prune: bool
    marks: dict[str, float] = {}  # what the pruner notes of the trial, such as its rungs
    view: View


class Decisions:
    """The pruner's answers in a study, from its first run on."""

    def __init__(self, folder: StudyFolder, study: optuna.Study) -> None:
        self.ignored: Collection[int] = ()  # numbers of trials with which none is compared
        self._path = folder.decisions
        self._study = study
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        # Others are not asked about any more, and may be ten thousand.
        known = read_decisions(folder, {trial.number for trial in running})
        self._last = {decision.trial: decision for decision in known}

    def prunes(self, pruner: BasePruner, trial: FrozenTrial, step: int, settings: int) -> bool:
        """Whether `trial` is to end at `step`, which was reported; the same whenever it is asked.

        Args:
            pruner: made anew, with nothing remembered.
            trial: as the study has it now.
            step: a reported one.
            settings: the journal's line in effect.
        """
        if trial.last_step is not None and step < trial.last_step:
            return False  # it went on, or the later step would not have been reported
        decision = self._last.get(trial.number)
        if decision is None or decision.step != step:
            decision = self._decide(pruner, trial, step, settings)
        for key, value in decision.marks.items():
            self._study._storage.set_trial_system_attr(trial._trial_id, key, value)
        return decision.prune

    def _decide(self, pruner: BasePruner, trial: FrozenTrial, step: int, settings: int) -> Decision:
        prune, marks = answer(pruner, self._study, trial, self.ignored)
        trials = self._study.get_trials(deepcopy=False)
        view = View.of(trials, trial.number, settings, self.ignored)
        decision = Decision(trial=trial.number, step=step, prune=prune, marks=marks, view=view)
        append_line(self._path, decision.model_dump_json(exclude_defaults=True), sync=True)
        self._last[trial.number] = decision
        return decision


def read_decisions(folder: StudyFolder, trials: Set[int] | None = None) -> list[Decision]:
    """Every whole line of the study's decisions, in order; none of a study that kept none.

    Args:
        trials: leave out what was decided of others.
    """
    beginnings = None if trials is None else tuple(f'{{"trial":{number},' for number in trials)

    def parse(line: str) -> Decision:
        if beginnings is not None and not line.startswith(beginnings):
            raise ValueError("of another trial")
        return Decision.model_validate_json(line)

    return read_lines(folder.decisions, parse)


def answer(
    pruner: BasePruner, study: optuna.Study, trial: FrozenTrial, ignored: Collection[int] = ()
) -> tuple[bool, dict[str, float]]:
    """The pruner's answer, and what it would note of the trial, which is not stored.

    Args:
        ignored: numbers of trials with which it is not compared.
    """
    looking = copy.copy(study)
    notes = _Caught(study._storage, study.direction, ignored)
    looking._storage = notes  # type: ignore[assignment]
    prune = bool(pruner.prune(looking, trial))
    return prune, notes.caught


class _Caught:
    """A storage whose one writer for pruners does not write, and which hides some trials."""

    def __init__(self, storage: Any, direction: StudyDirection, ignored: Collection[int]) -> None:
        self._storage = storage
        self._largest = direction is StudyDirection.MAXIMIZE
        self._ignored = ignored
        self.caught: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        found: list[FrozenTrial] = self._storage.get_all_trials(study_id, deepcopy, states)
        return [trial for trial in found if trial.number not in self._ignored]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        if not self._ignored:
            return self._storage.get_best_trial(study_id)  # type: ignore[no-any-return]
        complete = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.COMPLETE,))
        if not complete:
            raise ValueError("no trial is complete")
        sign = -1 if self._largest else 1
        return min(complete, key=lambda trial: sign * (trial.value or 0.0))

    def set_trial_system_attr(self, trial_id: int, key: str, value: float) -> None:
        self.caught[key] = value
