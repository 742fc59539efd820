"""How a study stands, as a screen for people."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from orchestrator import words
from orchestrator.confirmation.saved import load_confirmation
from orchestrator.reporting.confirmation_note import confirmed_lines
from orchestrator.reporting.ledger_text import account_sentence, time_left
from orchestrator.reporting.screen import say
from orchestrator.reporting.status import Chosen, Status
from orchestrator.reporting.trial_table import Row, shown_params, table_lines
from orchestrator.study.record import TrialRecord

_MOST_ROWS = 40
_USUAL = "all epochs trained"  # which "complete" says as well
_SHORT = {  # endings that say enough
    "pruned": "by the pruner",
    "nonfinite": "NaN or infinity",
    "memory": "out of memory",
    "invalid": "not a valid point",
    "overdue": "over its time",
}


def print_status(console: Console, status: Status, chosen: Chosen | None = None) -> None:
    """Show the counts, the best trial, and the chosen trials with what became of them.

    Args:
        console: where.
        status: of the study.
        chosen: which trials; else those that run, and the best.
    """
    say(console, _headline(status), style="bold")
    confirmed = confirmed_lines(load_confirmation(status.folder), status.record.best)
    for line in [*_standing(status), *_best(status), *confirmed]:
        say(console, line)
    if status.ledger.trials:
        say(console, f"Used: {account_sentence(status.ledger.total)}")
    chosen = chosen or Chosen()
    trials = chosen.of(status)[: chosen.top or _MOST_ROWS]
    if trials:
        console.print()
        rows = [_row(status, trial) for trial in trials]
        for row in table_lines(rows, status.metric or "value", console.width):
            console.print(row, soft_wrap=True)
    hidden = len(status.record.trials) - len(trials)
    if hidden > 0:
        say(console, f"{words.counted(hidden, 'trial')} not shown; --top, --state or --json do")


def _headline(status: Status) -> str:
    counts = status.record.counts
    told = [f"{counts[state]} {state}" for state in ("complete", "pruned", "failed")]
    told += [f"{counts['running']} {_unfinished(status)}"] if counts["running"] else []
    told += [f"{counts['waiting']} waiting"] if counts["waiting"] else []
    budget = f" of {status.budget}" if status.budget is not None else ""
    begun = len(status.record.trials) - counts["waiting"]
    return f"Study {status.record.name}: {begun}{budget} trials begun, {', '.join(told)}"


def _standing(status: Status) -> Iterator[str]:
    """Who works on it, and why not, where that is so."""
    if at_work := _at_work(status):
        yield at_work
    if status.paused:
        yield f"It is {status.paused}"
    if status.ruled:
        yield f"A stop rule has ended the search: {status.ruled}"
    if status.detached:
        yield f"The orchestrator is {status.detached}"
    yield from map(_job, status.jobs)
    if status.parent is not None:
        yield f"Parent: {status.parent.told()}"


def _unfinished(status: Status) -> str:
    """What a trial is that the database calls running."""
    return "running" if status.holder else "interrupted"


def _at_work(status: Status) -> str:
    if status.holder:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.holder.start))
        who = f"Process {status.holder.pid} on {status.holder.host} works on it since {since}"
        return f"{who}, {time_left(status.left)}"
    ended = status.budget is not None and status.record.ended >= status.budget
    if ended and not status.record.counts["running"]:
        return "All its trials have ended; --n_trials searches longer"
    if status.ruled:
        return ""
    return "Nobody works on it now; the command that began it goes on with it"


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


def _row(status: Status, trial: TrialRecord) -> Row:
    account = status.ledger.trials.get(trial.number)
    value = status.value(trial)
    reason = "" if trial.reason == _USUAL else trial.reason
    return Row(
        trial=str(trial.number),
        epoch=str(status.epoch(trial) or ""),
        value="" if value is None else words.number(value),
        took=words.duration(account.lasted) if account else "",
        state=_unfinished(status) if trial.state == "running" else trial.state,
        why=_SHORT.get(trial.ending, reason),
        reason="" if trial.ending in _SHORT else reason,
        params=shown_params(trial.params),
    )
