"""What `evaluate` found, on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator import words
from orchestrator.evaluation.results import EVERYTHING
from orchestrator.reporting.screen import near, plain_table, say
from protocol.folders import TrialFolder

_FLOOR = "floor_"  # what stands before the name of a score that needs no learning


def print_evaluation(
    console: Console,
    folder: TrialFolder,
    name: str,
    found: Mapping[str, Any],
    pictures: Sequence[str],
) -> None:
    """The means of every group, what to mind about them, and where everything is."""
    say(console, _headline(found), style="bold")
    if "tuning" in found:
        say(console, _tuning(found["tuning"]))
    for group, part in _told_groups(found["groups"]).items():
        say(console, f"\n{group}: {words.counted(part['cases'], 'case')}")
        console.print(_table(part["scores"]))
    for fold in found.get("folds", []):
        say(console, f"\nFold {fold['fold']}, epoch {fold['checkpoint']['epoch']}")
        console.print(_table(fold["groups"][EVERYTHING]["scores"]))
    for note in _notes(found):
        say(console, f"Note: {note}", style="yellow")
    say(console, "")
    for label, path in (("numbers", folder.evaluation), ("cases", folder.cases(name))):
        say(console, f"  {label:<8}  {near(path)}")
    for number, picture in enumerate(pictures):
        say(console, f"  {'' if number else 'pictures':<8}  {near(Path(picture))}")


def _headline(found: Mapping[str, Any]) -> str:
    folds = found.get("folds")
    if folds is None:
        of = f"epoch {found['checkpoint']['epoch']}, mean ± standard deviation over the cases"
    else:
        of = f"mean ± standard deviation over {words.counted(len(folds), 'fold')}"
    return f"Trial {found['trial']} of study {found['study']} on the {found['split']} split, {of}"


def _tuning(tuning: Mapping[str, Any]) -> str:
    rate = tuning["trials"] / max(tuning["seconds"], 1e-3)
    return (
        f"Post-processing tuned on the validation split in {tuning['trials']} trials, "
        f"{rate:.0f} a second: from {words.number(tuning['default_value'])} with the defaults to "
        f"{words.number(tuning['value'])} with {words.settings(tuning['parameters'])}"
    )


def _told_groups(groups: Mapping[str, Any]) -> dict[str, Any]:
    """Without the one of all cases where no score is in more than one of the others."""
    others = {name: part for name, part in groups.items() if name != EVERYTHING}
    names = [score for part in others.values() for score in part["scores"]]
    if others and len(set(names)) == len(names):
        return others
    return {"All together" if others else "All": groups[EVERYTHING], **others}


def _table(scores: Mapping[str, Any]) -> Table:
    floors = any(name.startswith(_FLOOR) for name in scores)
    table = plain_table(show_header=floors, pad_edge=True, padding=(0, 2))
    for column in ("", "model", "median-filter floor"):
        table.add_column(column, justify="left" if column == "" else "right")
    for name, statistic in scores.items():
        if not name.startswith(_FLOOR):
            floor = scores.get(_FLOOR + name)
            table.add_row(name, _spread(statistic), _spread(floor) if floor else "")
    return table


def _spread(statistic: Mapping[str, Any]) -> str:
    mean = words.number(statistic["mean"])
    deviation = statistic["std"]
    return mean if deviation is None else f"{mean} ± {deviation:.2g}"


def _notes(found: Mapping[str, Any]) -> list[str]:
    of_folds = [f"fold {f['fold']}: {note}" for f in found.get("folds", []) for note in f["notes"]]
    return [*found["notes"], *of_folds]
