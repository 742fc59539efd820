"""confirmation.json: what confirming came to, for people, `status` and the dashboard."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError

from protocol.folders import StudyFolder
from protocol.messages import Message, save_message
from protocol.objective import Direction

RunState = Literal["complete", "diverged", "failed", "unfinished"]


class Run(Message):
    """One repetition of a trial: a trial of its own in the folder of confirmations."""

    trial: int  # its number there
    repetition: int
    seed: int
    state: RunState
    value: float | None  # of a complete one
    reason: str


class Confirmed(Message):
    """A trial of the search, and what training it again came to."""

    trial: int
    params: dict[str, Any]
    search_value: float | None  # for which it was chosen; no part of the mean
    asked: int  # repetitions
    runs: list[Run]
    mean: float | None = None
    deviation: float | None = None  # the sample's, with n - 1 in the denominator
    low: float | None = None  # of the interval of the mean
    high: float | None = None

    @property
    def values(self) -> list[float]:
        return [run.value for run in self.runs if run.value is not None]

    def count(self, state: RunState) -> int:
        """How many of the runs are in a state; runs not begun yet are unfinished."""
        begun = sum(run.state == state for run in self.runs)
        return begun + (self.asked - len(self.runs) if state == "unfinished" else 0)


class Comparison(Message):
    """Of the two trials with the best means."""

    winner: int
    runner_up: int
    by: float  # the winner's mean minus the runner-up's
    low: float | None = None  # of the interval of that difference
    high: float | None = None
    p_value: float | None = None  # Welch's t-test, two-sided; None where it cannot be made


class Confirmation(Message):
    """Everything that is known of a study's confirmed trials."""

    study: str
    metric: str
    direction: Direction
    level: float  # of the intervals
    finished: bool  # every run that was asked for has ended
    trials: list[Confirmed]  # the best mean first, those without one last
    comparison: Comparison | None = None
    verdict: str  # sentences for people
    checkpoint: str | None = None  # of the winner's best run, seen from the study's folder

    @property
    def winner(self) -> Confirmed | None:
        """The trial with the best mean, if any has one."""
        return self.trials[0] if self.trials and self.trials[0].mean is not None else None


def save_confirmation(folder: StudyFolder, confirmation: Confirmation) -> None:
    """Write confirmation.json atomically."""
    save_message(folder.confirmation, confirmation)


def load_confirmation(folder: StudyFolder) -> Confirmation | None:
    """What was confirmed; None where nothing was, or the file is another version's or damaged.

    It can always be written anew from the folder of confirmations.
    """
    try:
        return Confirmation.model_validate_json(folder.confirmation.read_text())
    except (OSError, ValueError, ValidationError):
        return None
