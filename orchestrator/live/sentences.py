"""The lines that both displays print."""

from __future__ import annotations

from orchestrator import words
from orchestrator.live.progress import StudyProgress, TrialProgress
from orchestrator.reporting.ledger_text import hours as used
from orchestrator.reporting.ledger_text import time_left
from orchestrator.study.record import State
from protocol.messages import Outcome


def opening(study: StudyProgress) -> str:
    """What is searched for, and how far it is."""
    goal = "lowest" if study.objective.direction == "minimize" else "highest"
    begun = f", {study.finished} finished already" if study.finished else ""
    trials = words.counted(study.total, "trial")
    return f"study {study.name}: {trials} for the {goal} {study.objective.metric}{begun}"


def start(trial: TrialProgress) -> str:
    """How a trial was launched."""
    verb = "resumes" if trial.state == "resuming" else "starts"
    params = f": {words.settings(trial.params)}" if trial.params else ""
    return f"trial {trial.number} {verb} on {', '.join(trial.devices)}{params}"


def epoch(trial: TrialProgress, metric: str, left: float | None) -> str:
    """What a validated epoch brought."""
    text = f"trial {trial.number}: epoch {trial.epoch}/{trial.epochs or '?'}"
    text += f", {metric} {words.number(trial.value)}"
    if trial.best_epoch != trial.epoch:
        text += f", best {words.number(trial.best)} at epoch {trial.best_epoch}"
    return text if left is None else f"{text}, about {words.duration(left)} left"


def ending(number: int, outcome: Outcome, state: State, metric: str) -> str:
    """How a trial ended, with what, when and why."""
    text = f"trial {number} {'interrupted' if state == 'running' else state}"
    if outcome.epoch:
        text += f" after epoch {outcome.epoch}"
    if outcome.value is not None:
        text += f", {metric} {words.number(outcome.value)}"
        if outcome.folds:
            text += f", the mean of {words.counted(len(outcome.folds), 'fold')}"
        elif outcome.best_epoch != outcome.epoch:
            text += f" at epoch {outcome.best_epoch}"
    return f"{text}: {outcome.reason}" if outcome.reason else text


def standing(study: StudyProgress, now: float) -> str:
    """How far the study is, its best, and its times, of which a narrow screen cuts the last."""
    parts = [f"{study.finished}/{study.total} finished{_otherwise(study)}"]
    if study.best_trial is not None:
        best = words.number(study.best)
        parts.append(f"best {study.objective.metric} {best} (trial {study.best_trial})")
    if study.finished < study.total:
        parts.append(time_left(study.left(now)))
    parts.append(f"{words.duration(now - study.since)} elapsed")
    parts.append(f"{used(study.device_hours(now))} used")
    return ", ".join(parts)


def _otherwise(study: StudyProgress) -> str:
    """How many of the finished trials did not come to their end."""
    counts = {"pruned": study.pruned, "failed": study.failed}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f" ({told})" if told else ""
