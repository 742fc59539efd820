"""The last screen of `confirm`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator import words
from orchestrator.confirmation.saved import Confirmation, Confirmed
from orchestrator.reporting.confirmation_note import EXPLANATION, interval
from orchestrator.reporting.hints import commands_on
from orchestrator.reporting.screen import near, plain_table, say
from protocol.folders import StudyFolder


def print_confirmation(
    console: Console, folder: StudyFolder, confirmation: Confirmation, *, interrupted: bool
) -> None:
    """Show every confirmed trial, whether the winner is luck, and what to type next."""
    say(console, "")
    say(console, _headline(confirmation, interrupted), style="bold")
    console.print()
    console.print(_table(confirmation))
    say(console, "")
    say(console, confirmation.verdict, style="bold green" if confirmation.winner else "bold red")
    for line in EXPLANATION:
        say(console, line, style="dim")
    console.print()
    for line in _files_and_commands(folder, confirmation, interrupted):
        say(console, line)


def _headline(confirmation: Confirmation, interrupted: bool) -> str:
    asked = sum(trial.asked for trial in confirmation.trials)
    ended = asked - sum(trial.count("unfinished") for trial in confirmation.trials)
    verb = "interrupted" if interrupted else "trained again"
    trials = words.counted(len(confirmation.trials), "trial")
    return f"Study {confirmation.study}, {trials} {verb}: {ended} of {asked} runs ended."


def _table(confirmation: Confirmation) -> Table:
    table = plain_table()
    percent = f"{100 * confirmation.level:.0f} % interval"
    for title in ("trial", f"mean {confirmation.metric}", "deviation", percent, "searched"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("runs", overflow="fold")
    for trial in confirmation.trials:
        table.add_row(
            Text(str(trial.trial)),
            Text(words.number(trial.mean)),
            Text(words.number(trial.deviation)),
            Text(interval(trial)),
            Text(words.number(trial.search_value)),
            Text(_runs(trial)),
        )
    return table


def _runs(trial: Confirmed) -> str:
    """`3`, or `2 of 3, 1 diverged`."""
    complete = trial.count("complete")
    others = [
        f"{trial.count(state)} {state}"
        for state in ("diverged", "failed", "unfinished")
        if trial.count(state)
    ]
    return ", ".join([f"{complete} of {trial.asked}", *others]) if others else str(complete)


def _files_and_commands(
    folder: StudyFolder, confirmation: Confirmation, interrupted: bool
) -> Iterator[str]:
    yield f"  results     {near(folder.confirmation)}"
    if confirmation.checkpoint is not None:
        yield f"  checkpoint  {near(folder.path / confirmation.checkpoint)}"
    yield ""
    if interrupted:
        yield "To go on, type the same command again."
        return
    yield "Next:"
    runs = commands_on(folder.confirmations)
    yield f"  see every run      {runs.on_study('status')}"
    if confirmation.checkpoint is not None:
        number = (folder.path / confirmation.checkpoint).parent.name.removeprefix("trial_")
        export = runs.on_study("export", "--trial", number, "--out", "confirmed/")
        yield f"  take that run      {export}"
    most = max((trial.asked for trial in confirmation.trials), default=1)
    options = ("--top", str(len(confirmation.trials)), "--seeds", str(2 * most))
    yield f"  train more seeds   {commands_on(folder).on_study('confirm', *options)}"
