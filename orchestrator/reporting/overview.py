"""`list`: how every study of a folder stands, one line each. It only looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.ledger.trial import ended_account
from orchestrator.reporting.status import Status, look_at, status_json
from orchestrator.study.find import known_studies
from protocol.errors import UserError
from protocol.folders import StudyFolder

State = Literal["running", "paused", "finished", "stopped", "unreadable"]
_KEPT = ("study_name", "n_trials", "counts", "waiting", "budget", "objective", "direction")


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One study among others."""

    folder: StudyFolder
    status: Status | None  # None where it cannot be read
    problem: str = ""  # why it cannot
    seen: float | None = None  # when anything of it was last written, in seconds since the epoch

    @property
    def device_hours(self) -> float:
        """That all of its attempts had; also where its database cannot be read."""
        if self.status is not None:
            return self.status.ledger.total.device_hours
        return sum(ended_account(trial).device_hours for trial in self.folder.trials())

    @property
    def state(self) -> State:
        """Running: somebody works on it; finished: nothing is left to do; stopped: neither."""
        if self.status is None:
            return "unreadable"
        if self.status.paused:
            return "paused"
        if self.status.holder is not None:
            return "running"
        ended, budget = self.status.record.ended, self.status.budget
        spent = budget is not None and ended >= budget
        return "finished" if spent or self.status.ruled else "stopped"


def overviews(runs: Path) -> Iterator[Overview]:
    """Of every study in a folder of studies, by name; one that cannot be read hides no other."""
    for name in known_studies(runs):
        folder = StudyFolder(runs / name)
        seen = _last_written(folder)
        try:
            status = look_at(folder)
        except UserError as error:
            yield Overview(folder=folder, status=None, problem=str(error), seen=seen)
        else:
            yield Overview(folder=folder, status=status, seen=seen)


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
