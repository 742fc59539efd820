"""The last screen of a run: what was found, where it is, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from orchestrator import words
from orchestrator.ledger.account import Account
from orchestrator.ledger.study import study_ledger
from orchestrator.reporting.hints import Commands, commands_on
from orchestrator.reporting.ledger_text import account_sentence
from orchestrator.reporting.screen import near
from orchestrator.study.peek import peek
from orchestrator.study.record import State, StudyRecord, TrialRecord
from protocol.bests import best_checkpoint
from protocol.folders import StudyFolder

_MOST_REASONS = 10
_ENDED: tuple[State, ...] = ("complete", "pruned", "failed")


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the last screen tells."""

    record: StudyRecord
    folder: StudyFolder
    metric: str
    total: int  # the study's budget
    commands: Commands
    used: Account | None = None
    interrupted: bool = False

    @property
    def finished(self) -> int:
        return sum(self.record.counts[state] for state in _ENDED)

    @property
    def unfinished(self) -> bool:
        """Whether it was interrupted with something left to do."""
        return self.interrupted and self.finished < self.total


def final_report(
    record: StudyRecord, folder: StudyFolder, *, total: int, interrupted: bool = False
) -> Text:
    """The last screen; print it with `soft_wrap`, so that paths and commands can be copied."""
    report = Report(
        record=record,
        folder=folder,
        metric=peek(folder).metric or "value",
        total=total,
        commands=commands_on(folder),
        used=study_ledger(folder, record).total,
        interrupted=interrupted,
    )
    return Text("\n").join(report_lines(report))


def report_lines(report: Report) -> Iterator[Text]:
    """The last screen, line by line."""
    best = report.record.best
    yield Text()
    yield _headline(report)
    if report.used is not None and report.used.seconds:
        yield Text(f"Used: {account_sentence(report.used)}.")
    yield from _nothing_complete(report) if best is None else _best(report, best)
    yield Text()
    yield from _next(report, best)


def _headline(report: Report) -> Text:
    counts = report.record.counts
    parts = ", ".join(f"{counts[state]} {state}" for state in _ENDED)
    verb = "interrupted" if report.unfinished else "ended"
    told = f"Study {report.record.name} {verb}: {report.finished} of {report.total}"
    return Text(f"{told} trials finished ({parts}).", style="bold")


def _best(report: Report, best: TrialRecord) -> Iterator[Text]:
    where = f" at epoch {best.best_epoch}" if best.best_epoch else ""
    if best.folds:
        where = f", the mean of {len(best.folds)} folds: " + words.listed(best.folds)
    told = f"Best: trial {best.number}, {report.metric} {words.number(best.value)}{where}"
    yield Text()
    yield Text(told, style="bold green")
    yield from _rows({name: words.setting(value) for name, value in best.params.items()})
    others = {k: words.number(v) for k, v in best.metrics.items() if k != report.metric}
    if others:
        yield Text()
        yield from _rows(dict(sorted(others.items())))
    yield Text()
    yield from _rows(_files(report, best))


def _files(report: Report, best: TrialRecord) -> dict[str, str]:
    folder = report.folder.trial(best.number)
    checkpoint = best_checkpoint(folder)
    files = {"checkpoint": near(checkpoint) if checkpoint else "removed"}
    if folder.output.exists():
        files = ({"checkpoint": near(checkpoint)} if checkpoint else {}) | {
            "its files": near(folder.output)
        }
    parent = peek(report.folder).parent
    if parent is not None:
        files["parent"] = parent.told()
    pictures = len(list(folder.pictures.glob("*.png")))
    if pictures:
        files["pictures"] = f"{near(folder.pictures)} ({pictures})"
    return files


def _rows(rows: dict[str, str]) -> Iterator[Text]:
    width = max((len(name) for name in rows), default=0)
    for name, value in rows.items():
        yield Text(f"  {name:<{width}}  {value}")


def _nothing_complete(report: Report) -> Iterator[Text]:
    ended = [trial for trial in report.record.trials if trial.state in _ENDED]
    if not ended:
        yield Text("No trial has ended yet.")
        return
    yield Text("No trial is complete, so there is no best one.", style="bold red")
    for trial in ended[:_MOST_REASONS]:
        yield Text(f"  trial {trial.number} {trial.state}: {trial.reason or 'no reason is known'}")
    if len(ended) > _MOST_REASONS:
        yield Text(f"  and {len(ended) - _MOST_REASONS} more; `status` tells the latest ones")


def _next(report: Report, best: TrialRecord | None) -> Iterator[Text]:
    commands = report.commands
    if report.unfinished:
        yield Text("To go on, type the same command again, or:", style="bold")
        yield Text(f"  {commands.go_on()}")
        return
    shown = {"see every trial": commands.on_study("status")}
    if best is not None and report.folder.trial(best.number).best.exists():
        shown["judge it case by case"] = commands.on_study("evaluate", "--trial", "best")
        shown["draw pictures"] = commands.on_study("visualize", "--trial", "best")
        shown["take the model elsewhere"] = commands.on_study("export", "--out", "best/")
    shown["look at it in a browser"] = commands.on_study("dashboard")
    if report.finished < report.total:
        shown["go on"] = commands.go_on()
    else:
        shown["search longer"] = commands.go_on("--n_trials", str(2 * report.total))
    yield Text("Next:", style="bold")
    width = max(len(purpose) for purpose in shown)
    for purpose, command in shown.items():
        yield Text(f"  {purpose:<{width}}  {command}")
