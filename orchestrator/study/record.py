"""A study's trials as plain data: what reports, `status` and `export` look at.

It comes from the database of a study that may be running, and never writes to it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from protocol.objective import Direction, ranked

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

IGNORED = "ignored"  # the study's user attribute that holds who had which trials ignored, and why

State = Literal["complete", "pruned", "failed", "running", "waiting"]

STATES: dict[str, State] = {  # by Optuna's names
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial as the database has it."""

    number: int
    state: State
    value: float | None = None
    params: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)  # the trial's user attributes
    feasible: bool = True  # no constraint was violated
    ignored: str = ""  # who wants it to count for nothing, and why; empty where nobody does

    @property
    def able(self) -> bool:
        """Whether it counts when the best is looked for, if its value is finite."""
        return can_be_best(self.state, self.feasible) and not self.ignored

    @property
    def ending(self) -> str:
        return str(self.notes.get("ending", ""))

    @property
    def reason(self) -> str:
        """Why it ended; before that, where it is ignored, who wants that and why."""
        ended = str(self.notes.get("reason", ""))
        told = f"ignored, asked by {self.ignored}" if self.ignored else ""
        return "; ".join(filter(None, (told, ended)))

    @property
    def epoch(self) -> int:
        return int(self.notes.get("epoch", 0))

    @property
    def best_epoch(self) -> int:
        return int(self.notes.get("best_epoch", 0))

    @property
    def attempts(self) -> int:
        return int(self.notes.get("attempts", 0))

    @property
    def folds(self) -> list[float]:
        """Of a cross-validated trial: the objective of every fold; empty without folds."""
        return list(self.notes.get("folds", []))

    @property
    def metrics(self) -> dict[str, float]:
        return dict(self.notes.get("metrics", {}))


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study and its trials, by number."""

    name: str
    direction: Direction
    trials: list[TrialRecord]
    place: int = 1  # its number in the database

    @property
    def counts(self) -> Counter[State]:
        """How many trials are in each state; a state without trials counts zero."""
        return Counter(trial.state for trial in self.trials)

    @property
    def ended(self) -> int:
        """How many trials have ended, however."""
        return sum(self.counts[state] for state in ("complete", "pruned", "failed"))

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial with the best finite value; the earliest of equals."""
        return next(iter(self.ranked), None)

    @property
    def ranked(self) -> list[TrialRecord]:
        """The trials that can be the best, the best first; the earlier of equals first."""
        able = (trial for trial in self.trials if trial.able)
        return ranked(able, lambda trial: trial.value, self.direction)

    def trial(self, number: int) -> TrialRecord | None:
        """The trial with this number, if the study has it."""
        return next((trial for trial in self.trials if trial.number == number), None)


def record_of(study: Study) -> StudyRecord:
    """The record of a study that Optuna has open."""
    ignored = study._storage.get_study_user_attrs(study._study_id).get(IGNORED, {})
    return StudyRecord(
        name=study.study_name,
        direction=direction_of(study),
        trials=[
            _record_of_trial(trial, ignored.get(str(trial.number), ""))
            for trial in study.get_trials(deepcopy=False)
        ],
        place=study._study_id,
    )


def direction_of(study: Study) -> Direction:
    return "minimize" if study.direction.name == "MINIMIZE" else "maximize"


def _record_of_trial(trial: FrozenTrial, ignored: str) -> TrialRecord:
    return TrialRecord(
        number=trial.number,
        state=STATES[trial.state.name],
        value=trial.value,
        params=dict(trial.params),
        notes=dict(trial.user_attrs),
        feasible=is_feasible(trial),
        ignored=ignored,
    )


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether no constraint was violated."""
    return all(value <= 0 for value in trial.constraints.values())


def can_be_best(state: State, feasible: bool) -> bool:
    """Whether a trial counts when the best is looked for: here alone, but for a finite value."""
    return state == "complete" and feasible
