"""`list`: how every study of a folder stands, one line each. It only looks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.reporting.status import Status, look_at, status_json
from orchestrator.study.find import known_studies
from protocol.errors import UserError
from protocol.folders import StudyFolder, TrialFolder

State = Literal["running", "paused", "finished", "stopped", "unreadable"]
_KEPT = ("study_name", "n_trials", "counts", "waiting", "budget", "objective", "direction")


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One study among others."""

    folder: StudyFolder
    status: Status | None  # None where it cannot be read
    problem: str = ""  # why it cannot
    device_hours: float = 0.0  # between the first and the last event of every attempt
    seen: float | None = None  # when anything of it was last written, in seconds since the epoch

    @property
    def state(self) -> State:
        """Running: somebody works on it; finished: nothing is left to do; stopped: neither."""
        if self.status is None:
            return "unreadable"
        if self.status.paused:
            return "paused"
        if self.status.holder is not None:
            return "running"
        counts, budget = self.status.record.counts, self.status.budget
        ended = counts["complete"] + counts["pruned"] + counts["failed"]
        spent = budget is not None and ended >= budget
        return "finished" if spent or self.status.ruled else "stopped"


def overviews(runs: Path) -> Iterator[Overview]:
    """Of every study in a folder of studies, by name; one that cannot be read hides no other."""
    for name in known_studies(runs):
        folder = StudyFolder(runs / name)
        hours, seen = _device_hours(folder), _last_written(folder)
        try:
            status = look_at(folder)
        except UserError as error:
            yield Overview(
                folder=folder, status=None, problem=str(error), device_hours=hours, seen=seen
            )
        else:
            yield Overview(folder=folder, status=status, device_hours=hours, seen=seen)


def overview_json(found: Overview) -> dict[str, Any]:
    """In JSON's types; what is not known of a study that cannot be read is missing."""
    told: dict[str, Any] = {"study_name": found.folder.name, "state": found.state}
    if found.status is None:
        told["problem"] = found.problem
    else:
        whole = status_json(found.status)
        told |= {key: whole[key] for key in (*_KEPT, "orchestrator")}
        best = whole["best"]
        told["best"] = best and {key: best[key] for key in ("number", "value")}
    return told | {"device_hours": round(found.device_hours, 4), "last_written": found.seen}


def _last_written(folder: StudyFolder) -> float | None:
    database = folder.database
    places = [database, database.with_name(f"{database.name}-wal"), folder.clock, folder.log]
    places += [trial.events for trial in folder.trials()]
    return max((time for time in map(_modified, places) if time is not None), default=None)


def _modified(path: Path) -> float | None:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return None


def _device_hours(folder: StudyFolder) -> float:
    return sum(map(device_seconds, folder.trials())) / 3600.0


def device_seconds(trial: TrialFolder) -> float:
    """Time in which the trial had devices, times their number."""
    devices = {
        plan["attempt"]: len(set(plan.get("devices", ["cpu"]))) for plan in _lines(trial.plans)
    }
    spans: dict[int, tuple[float, float]] = {}  # of each attempt
    for event in _lines(trial.events):
        first, last = spans.get(event["attempt"], (event["time"], event["time"]))
        spans[event["attempt"]] = (min(first, event["time"]), max(last, event["time"]))
    return sum((last - first) * devices.get(attempt, 1) for attempt, (first, last) in spans.items())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of JSON; without validation, which would take ten times as long."""
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # a kill has torn it
                yield json.loads(line)
