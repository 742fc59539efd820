"""`compare`: which of several studies has the better best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from orchestrator import words
from orchestrator.commands.showing.report import checked
from orchestrator.live.console import PatientConsole
from orchestrator.reporting.confirmation_note import interval
from orchestrator.reporting.screen import near, plain_table, say
from orchestrator.showing.comparison import Comparison, compared
from orchestrator.showing.look import look
from protocol.errors import SettingsError
from protocol.files import write_text
from protocol.folders import StudyFolder

_MOST_SETTINGS = 20  # on the screen; the page has all


def compare_studies(folders: Sequence[StudyFolder], out: Path | None) -> None:
    """Say which is better and by how much; with `out` also as a page.

    Raises:
        SettingsError: a study is not there, or they cannot be compared.
    """
    folders = list({folder.path.resolve(): folder for folder in folders}.values())
    if len(folders) < 2:
        raise SettingsError("expected two studies or more", key="--study_name")
    path = None if out is None else checked(out)
    found = compared([look(folder) for folder in folders])
    console = PatientConsole()
    say(console, found.verdict, style="bold")
    for warning in found.warnings:
        say(console, warning, style="bold red")
    console.print()
    console.print(_table(found))
    console.print()
    _print_settings(console, found)
    if path is not None:
        write_text(path, _page(found))
        say(console, f"The page is {near(path)}; open it in a browser.")


def _table(found: Comparison) -> Table:
    table = plain_table()
    metric = found.sides[0].look.metric
    for title in ("study", "best", metric, "complete", "pruned", "failed", "mean", "95 % interval"):
        table.add_column(title, justify="left" if title == "study" else "right", no_wrap=True)
    for side in found.sides:
        counts = side.look.record.counts
        table.add_row(
            Text(side.name),
            Text("-" if side.best is None else f"trial {side.best.number}"),
            Text(words.number(side.value)),
            *(Text(str(counts[state])) for state in ("complete", "pruned", "failed")),
            Text(words.number(side.mean)),
            Text(interval(side.winner) if side.winner else "-"),
        )
    return table


def _print_settings(console: PatientConsole, found: Comparison) -> None:
    if not found.differing:
        say(console, "No settings differ but where and how long they ran.")
        return
    table = plain_table()
    table.add_column("settings that differ")
    for side in found.sides:
        table.add_column(side.name)
    for key, values in list(found.differing.items())[:_MOST_SETTINGS]:
        table.add_row(Text(key), *map(Text, values))
    console.print(table)
    left = len(found.differing) - _MOST_SETTINGS
    if left > 0:
        say(console, f"and {left} more, which the page of --out has")


def _page(found: Comparison) -> str:
    from orchestrator.showing import plots
    from orchestrator.showing.page import plotly_script, rendered

    looks = [side.look for side in found.sides]
    names = ", ".join(look.name for look in looks)
    keys = dict.fromkeys(
        key for side in found.sides for key in (side.best.params if side.best else {})
    )
    drawn = [plots.bests_over_epochs(looks), plots.histories(looks)]
    return rendered(
        "compare.html",
        found=found,
        names=names,
        interval=interval,
        metric=looks[0].metric,
        keys=list(keys),
        plots=drawn,
        plotly=plotly_script(),
    )
