"""`list`: every study of a folder, and how it stands."""

from __future__ import annotations

import json
import time
from pathlib import Path

from orchestrator import words
from orchestrator.reporting.overview import Overview, overview_json, overviews

_COLOURS = {"running": "cyan", "finished": "green", "unreadable": "red"}


def list_studies(runs: Path, *, as_json: bool = False) -> None:
    """Print how every study in `runs` stands."""
    found = list(overviews(runs))
    if as_json:
        told = [overview_json(study) for study in found]
        print(json.dumps(told, indent=2, allow_nan=False, default=str))
        return
    from rich.text import Text

    from orchestrator.live.console import PatientConsole
    from orchestrator.reporting.screen import plain_table, say

    console = PatientConsole()
    if not found:
        say(console, f"There is no study in {runs}")
        return
    table = plain_table()
    table.add_column("study", overflow="fold")
    table.add_column("state", no_wrap=True)
    for title in ("trials", "best", "device-hours", "last written"):
        table.add_column(title, justify="right", no_wrap=True)
    for study in found:
        name, state, *rest = _row(study, time.time())
        table.add_row(Text(name), Text(state, style=_COLOURS.get(state, "")), *map(Text, rest))
    console.print(table)
    for study in found:
        if study.problem:
            say(console, f"{study.folder.name}: {study.problem}")


def _row(study: Overview, now: float) -> tuple[str, ...]:
    seen = "-" if study.seen is None else f"{words.duration(now - study.seen)} ago"
    trials, best = "-", "-"
    if study.status is not None:
        record, budget = study.status.record, study.status.budget
        begun = len(record.trials) - record.counts["waiting"]
        trials = f"{begun}" if budget is None else f"{begun} of {budget}"
        best = words.number(record.best.value) if record.best else "-"
    hours = words.number(round(study.device_hours, 2))
    return study.folder.name, study.state, trials, best, hours, seen
