"""How a study stands, as a screen for people."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator import words
from orchestrator.confirmation.saved import load_confirmation
from orchestrator.reporting.confirmation_note import confirmed_lines
from orchestrator.reporting.screen import plain_table, say
from orchestrator.reporting.status import Status
from orchestrator.study.record import TrialRecord

_MOST_ROWS = 40
_COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}


def print_status(console: Console, status: Status) -> None:
    """Show the counts, the best trial, and the latest trials with what became of them."""
    say(console, _headline(status), style="bold")
    if at_work := _at_work(status):
        say(console, at_work)
    if status.paused:
        say(console, f"It is {status.paused}")
    if status.ruled:
        say(console, f"A stop rule has ended the search: {status.ruled}")
    if status.detached:
        say(console, f"The orchestrator is {status.detached}")
    for job in status.jobs:
        say(console, _job(job))
    if status.parent is not None:
        say(console, f"Parent: {status.parent.told()}")
    for line in [*_best(status), *confirmed_lines(load_confirmation(status.folder))]:
        say(console, line)
    trials = status.record.trials
    if trials:
        console.print()
        console.print(_table(status, trials[-_MOST_ROWS:]))
    hidden = len(trials) - _MOST_ROWS
    if hidden > 0:
        say(console, f"{words.counted(hidden, 'earlier trial')} not shown; --json tells all")


def _headline(status: Status) -> str:
    counts = status.record.counts
    told = [f"{counts[state]} {state}" for state in ("complete", "pruned", "failed")]
    told += [f"{counts['running']} {_unfinished(status)}"] if counts["running"] else []
    told += [f"{counts['waiting']} waiting"] if counts["waiting"] else []
    budget = f" of {status.budget}" if status.budget is not None else ""
    begun = len(status.record.trials) - counts["waiting"]
    return f"Study {status.record.name}: {begun}{budget} trials begun, {', '.join(told)}"


def _unfinished(status: Status) -> str:
    """What a trial is that the database calls running."""
    return "running" if status.holder else "interrupted"


def _at_work(status: Status) -> str:
    if status.holder:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.holder.start))
        return f"Process {status.holder.pid} on {status.holder.host} works on it since {since}"
    if status.record.counts["running"]:
        return "Nobody works on it now; the command that began it goes on with it"
    return ""


def _job(job: dict[str, Any]) -> str:
    """One of a cluster's jobs, in a line."""
    where = f" on {job['nodes']}" if job["nodes"] else ""
    why = f" ({job['reason']})" if job["reason"] else ""
    left = f", {words.duration(job['seconds_left'])} left" if job["seconds_left"] else ""
    what = f": {job['trial']}" if job["trial"] else ""
    return f"Job {job['id'] or '(being submitted)'} {job['state']}{where}{why}{left}{what}"


def _best(status: Status) -> list[str]:
    best = status.record.best
    if best is None:
        return []
    return [
        f"Best: trial {best.number}, {status.metric or 'value'} {words.number(best.value)}",
        f"  {words.settings(best.params)}",
        f"  checkpoint: {status.checkpoint(best) or 'removed'}",
    ]


def _table(status: Status, trials: list[TrialRecord]) -> Table:
    table = plain_table(expand=True)
    for title in ("trial", "epoch", status.metric or "value"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=3)
    # Cut, not folded: all of a trial's parameters are in its note, its plan and the JSON.
    table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=2)
    for trial in trials:
        state = _unfinished(status) if trial.state == "running" else trial.state
        # As Text: reasons and values may hold square brackets, which rich takes for markup.
        table.add_row(
            Text(str(trial.number)),
            Text(str(status.epoch(trial) or "")),
            Text("" if trial.value is None else words.number(trial.value)),
            Text(state, style=_COLOURS.get(trial.state, "")),
            Text(trial.reason),
            Text(words.settings(trial.params)),
        )
    return table
