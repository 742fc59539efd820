"""What the jobs do, written down for those who look from elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.launcher.slurm.job import Job
from protocol.files import write_json

_SECONDS = 2.0  # between two writings


class Board:
    """A file in the folder of the jobs."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"
        self._saved = 0.0
        self._shown = ""

    def show(self, jobs: Sequence[Job], *, now: bool = False) -> None:
        """Write every few seconds, or at once, what has changed."""
        if not now and time.monotonic() - self._saved < _SECONDS:
            return
        self._saved = time.monotonic()
        told = [_told(job) for job in jobs]
        shown = json.dumps(told)
        if shown != self._shown:
            self._shown = shown
            write_json(self._path, {"time": time.time(), "jobs": told})


def _told(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": "SUBMITTED" if job.state is None else job.state.state,
        "reason": "" if job.state is None else job.state.reason,
        "nodes": "" if job.state is None else job.state.nodes,
        "seconds_left": None if job.state is None else job.state.left,
        "trial": None if job.holder is None else job.holder.folder.path.name,
    }
