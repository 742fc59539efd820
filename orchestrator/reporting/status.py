"""`status`: how a study stands, for people and, as JSON, for programs. It only looks."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.confirmation.saved import load_confirmation
from orchestrator.ledger.account import GIB, HOUR, JOULES_PER_KWH, USES, Account
from orchestrator.ledger.forecast import Forecast
from orchestrator.ledger.outlook import Reached, outlook, reached
from orchestrator.ledger.study import Ledger, study_ledger
from orchestrator.study.find import read_study
from orchestrator.study.holding.lock import Holder, holder_of
from orchestrator.study.parent_record import ParentRecord
from orchestrator.study.peek import peek
from orchestrator.study.record import State, StudyRecord, TrialRecord
from orchestrator.study.standing.pause import read_pause
from orchestrator.study.standing.ruling import read_ruling
from protocol.bests import best_checkpoint
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.messages import read_events
from protocol.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Status:
    """A study as it stands."""

    record: StudyRecord
    folder: StudyFolder
    holder: Holder | None  # who works on it now
    metric: str | None
    budget: int | None  # trials asked for
    parent: ParentRecord | None  # of a dependent study
    ledger: Ledger
    running: dict[int, Reached]  # how far each trial is that has not ended
    left: Forecast | None  # of a study that somebody works on: how long that will still take
    jobs: list[dict[str, Any]]  # of a study on a cluster, as its orchestrator last saw them
    detached: str  # where an orchestrator is that is a job itself
    paused: str = ""  # by whom and until when; empty where it is not
    ruled: str = ""  # why a stop rule has ended the search

    def value(self, trial: TrialRecord) -> float | None:
        """The objective that the trial came to, also where it was pruned or still runs."""
        if trial.number in self.running:
            return self.running[trial.number].best
        return trial.metrics.get(self.metric or "") if trial.value is None else trial.value

    def epoch(self, trial: TrialRecord) -> int:
        """The last epoch that the trial validated; 0 before the first."""
        running = self.running.get(trial.number)
        return trial.epoch if running is None else running.epoch

    def checkpoint(self, trial: TrialRecord) -> str | None:
        """The trial's best checkpoint, while it is there."""
        path = best_checkpoint(self.folder.trial(trial.number))
        return None if path is None else str(path)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which trials are to be shown."""

    state: State | None = None  # those alone
    top: int | None = None  # no more than so many, the best first

    def of(self, status: Status) -> list[TrialRecord]:
        """All trials of the state, or all: those that run first, then the better before the worse.

        With `top` alone, those that can be the best.
        """
        record = status.record
        if self.state is None and self.top is not None:
            return record.ranked
        sign = 1.0 if record.direction == "minimize" else -1.0

        def place(trial: TrialRecord) -> tuple[int, float, int]:
            value = status.value(trial)
            signed = math.inf if value is None or math.isnan(value) else sign * value
            return _ORDER.index(trial.state), signed, trial.number

        return sorted((t for t in record.trials if self.state in (None, t.state)), key=place)


_ORDER: tuple[State, ...] = ("running", "complete", "pruned", "failed", "waiting")


def look_at(folder: StudyFolder) -> Status:
    """Gather the status.

    Raises:
        SettingsError: there is no such study yet, or its database cannot be read.
    """
    try:
        record = read_study(folder)
    except SettingsError as error:
        if not (where := _detached(folder)):
            raise
        raise SettingsError(f"{error.problem}; its orchestrator is {where}") from None
    known = peek(folder)
    holder = holder_of(folder)
    objective = Objective(metric=known.metric or "", direction=record.direction)
    running = {
        trial.number: reached(read_events(folder.trial(trial.number).events), objective)
        for trial in record.trials
        if trial.state == "running"
    }
    ledger = study_ledger(folder, record, holder.start if holder else math.inf)
    left = None
    if holder is not None and known.n_trials is not None:
        left = outlook(
            record,
            ledger,
            running,
            budget=known.n_trials,
            prunes=known.prunes,
            epochs=known.epochs,
        )
    return Status(
        record=record,
        folder=folder,
        holder=holder,
        metric=known.metric,
        budget=known.n_trials,
        parent=known.parent,
        ledger=ledger,
        running=running,
        left=left,
        jobs=_jobs(folder),
        detached=_detached(folder),
        paused=_paused(folder),
        ruled=_ruled(folder, known.n_trials),
    )


def status_json(status: Status, chosen: Chosen | None = None) -> dict[str, Any]:
    """The status in JSON's types; a number that is not finite is null.

    Args:
        status: of the study.
        chosen: which trials are told, and in which order; without it all, by number.
    """
    trials = status.record.trials if chosen is None else chosen.of(status)[: chosen.top]
    record, holder = status.record, status.holder
    confirmation = load_confirmation(status.folder)
    counts = record.counts
    return {
        "study_name": record.name,
        "n_trials": len(record.trials) - counts["waiting"],
        "counts": {state: counts[state] for state in ("complete", "pruned", "failed", "running")},
        "best": record.best and _best_json(status, record.best),
        "confirmation": confirmation and confirmation.model_dump(mode="json"),
        "waiting": counts["waiting"],
        "budget": status.budget,
        "parent": status.parent and status.parent.model_dump(mode="json"),
        "objective": status.metric,
        "direction": record.direction,
        "orchestrator": holder
        and {"pid": holder.pid, "host": holder.host, "start": holder.start, "job": holder.job},
        "orchestrator_job": status.detached or None,
        "paused": status.paused or None,
        "stopped": status.ruled or None,
        "jobs": status.jobs,
        "seconds_left": status.left and asdict(status.left),
        "ledger": account_json(status.ledger.total),
        "trials": [_trial_json(status, trial) for trial in trials],
    }


def _best_json(status: Status, best: TrialRecord) -> dict[str, Any]:
    return {
        "number": best.number,
        "value": best.value,
        "params": best.params,
        "checkpoint": status.checkpoint(best),
        "metrics": _finite(best.metrics),
    }


def _trial_json(status: Status, trial: TrialRecord) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": _finite(trial.value),
        "params": trial.params,
        "ending": trial.ending or None,
        "reason": trial.reason or None,
        "ignored": trial.ignored or None,
        "epoch": status.epoch(trial),
        "best_epoch": trial.best_epoch,
        "attempts": trial.attempts,
        "checkpoint": status.checkpoint(trial),
        "ledger": account_json(status.ledger.trials.get(trial.number, Account())),
    }


def account_json(account: Account) -> dict[str, Any]:
    """Device-hours by what they went into, memory and energy; null where nobody told.

    `hours` are without times in which no attempt was there.
    """
    return {
        "device_hours": round(account.device_hours, 6),
        "hours": round(account.lasted / HOUR, 6),
        "by_use": {use: round(account.hours(use), 6) for use in USES},
        "peak_gib": round(account.peak / GIB, 3) if account.peak else None,
        "kwh": round(account.joules / JOULES_PER_KWH, 6) if account.metered else None,
        "kwh_of_device_hours": round(account.metered / HOUR, 6) if account.metered else None,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _jobs(folder: StudyFolder) -> list[dict[str, Any]]:
    try:
        told: list[dict[str, Any]] = json.loads((folder.jobs / "state.json").read_text())["jobs"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []
    return told


def _paused(folder: StudyFolder) -> str:
    pause = read_pause(folder)
    return pause.told if pause is not None and pause.holds else ""


def _ruled(folder: StudyFolder, budget: int | None) -> str:
    ruling = read_ruling(folder)
    holds = ruling is not None and (budget is None or budget <= ruling.n_trials)
    return ruling.reason if ruling is not None and holds else ""


def _detached(folder: StudyFolder) -> str:
    if not (folder.jobs / "orchestrator.json").exists():
        return ""
    from orchestrator.launcher.slurm.ask import Away
    from orchestrator.launcher.slurm.detached import detached

    try:
        job = detached(folder.jobs)
    except Away:
        return "a job, of which Slurm does not say anything now"
    return job.told if job is not None and job.lives else ""
