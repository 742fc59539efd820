"""What a trial costs the orchestrator: asking for it, five reports, and settling its end.

    python -m benchmarks.ask [--trials 100 --trials 1000] [--steps 20] [--pruner median]

Ours is the runner's own way, files and notes included: next trial, every report and decision,
outcome and tell, the best trial's link, tidying. Beside it stand bare Optuna with an SQLite
database and with none, which ask, report and tell and keep no record. All three take turns, one
trial each. The figures are medians, in milliseconds, and how many times Optuna's SQLite they are;
those of the processor leave out the waiting for the disk and for other programs.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from unittest import mock

import optuna
import typer

from benchmarks.filled import (
    EPOCHS,
    SEARCH,
    bare_database,
    memory_study,
    our_study,
    settings_of,
    value_of,
)
from orchestrator.proposing.ask import Asker
from orchestrator.running.clock import Clock
from orchestrator.running.plan import next_plan
from orchestrator.running.runner import Runner
from orchestrator.running.slots import Slot
from orchestrator.running.verdict import Verdict
from orchestrator.settings.space import Space, distribution
from orchestrator.study.journal import note
from orchestrator.study.storage import open_study
from protocol.messages import Ending, Finished, Validated, append_event, save_plan
from protocol.recipe import TrainingRecipe

SECTIONS = ("ask", "5 reports", "settle")
Step = Callable[[dict[str, list[float]]], None]


@contextmanager
def timing(times: dict[str, list[float]], section: str) -> Iterator[None]:
    """Add what the block took, in milliseconds, to a section of one trial."""
    begun, used = time.perf_counter(), time.process_time()
    yield
    times.setdefault(section, []).append(1000 * (time.perf_counter() - begun))
    times.setdefault(f"CPU, {section}", []).append(1000 * (time.process_time() - used))


def ours(place: Path, trials: int, pruner: str, best: int | None) -> Step:
    """One trial after the other through the runner's own parts."""
    folder = our_study(place, trials)
    settings = settings_of(pruner, keep={"best_trials": best})
    space = Space.of(settings.search, settings.recipe, TrainingRecipe().model_dump())
    study = open_study(folder, None, "minimize")
    session: Any = SimpleNamespace(
        folder=folder,
        name=folder.name,
        settings=settings,
        study=study,
        slots=[],
        interrupts=None,
        display=mock.MagicMock(),
        known=SimpleNamespace(identity="", inputs={}),
        surroundings={},
    )
    source = Asker(folder, study, settings, space, note(folder, settings, space, trials))
    runner = Runner(session, source, Clock(folder.clock))

    def step(times: dict[str, list[float]]) -> None:
        with timing(times, "ask"):
            running = runner._queue.next()
        assert running is not None
        running.folder.path.mkdir()
        seed = source.trial_seed(running.number)
        plan = next_plan(session, running, Slot(("cpu",), 1), seed)
        save_plan(running.folder, plan)
        running.number_of_attempt = plan.attempt
        params = running.trial.params
        for epoch in range(1, EPOCHS + 1):
            append_event(running.folder.events, _validated(params, epoch))
            with timing(times, f"report {epoch}"):
                runner._report(running)
        last = {"error": value_of(params)}
        end = Finished(
            attempt=0, epoch=EPOCHS, step=9, early=False, best_epoch=EPOCHS, metrics=last
        )
        append_event(running.folder.events, end)
        with timing(times, "settle"):
            runner._report(running)
            verdict = Verdict(ending=Ending.COMPLETED, reason="all epochs were trained", event=end)
            runner._ends.end(running, verdict)

    return step


def _validated(params: dict[str, Any], epoch: int) -> Validated:
    return Validated(
        attempt=0,
        epoch=epoch,
        step=epoch,
        metrics={"error": value_of(params, epoch)},
        losses={},
        learning_rate=1.0,
        seconds=1.0,
        best=True,
        last=epoch == EPOCHS,
    )


def optunas(study: optuna.Study, asks: bool) -> Step:
    """The same with Optuna alone.

    Args:
        asks: whether the pruner is asked after each report.
    """
    search = settings_of().search
    space = {key: distribution(search[key]) for key in SEARCH}

    def step(times: dict[str, list[float]]) -> None:
        with timing(times, "ask"):
            trial = study.ask(space)
        for epoch in range(1, EPOCHS + 1):
            with timing(times, f"report {epoch}"):
                trial.report(value_of(trial.params, epoch), epoch)
                if asks and epoch < EPOCHS:
                    trial.should_prune()
        with timing(times, "settle"):
            study.tell(trial, value_of(trial.params))

    return step


def measured(ways: dict[str, Step], steps: int) -> dict[str, dict[str, float]]:
    """The median milliseconds of each section, every way in turn; the first turns warm up."""
    times: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    for turn in range(steps + 3):
        for way, step in ways.items():
            step({} if turn < 3 else times[way])
    return {way: _sections(found) for way, found in times.items()}


def _sections(times: dict[str, list[float]]) -> dict[str, float]:
    reports = [found for section, found in times.items() if section.startswith("report")]
    sections = {
        "ask": times["ask"],
        "5 reports": [sum(one) for one in zip(*reports, strict=True)],
        "settle": times["settle"],
    }
    used = [found for section, found in times.items() if section.startswith("CPU")]
    sections["whole"] = [sum(one) for one in zip(*sections.values(), strict=True)]
    sections["CPU"] = [sum(one) for one in zip(*used, strict=True)]
    return {name: statistics.median(found) for name, found in sections.items()}


def main(
    trials: Annotated[list[int] | None, typer.Option(help="that the study has")] = None,
    steps: Annotated[int, typer.Option(min=1, help="trials of each that are timed")] = 20,
    pruner: Annotated[str, typer.Option(help="`none` or `median`")] = "none",
    best: Annotated[int | None, typer.Option(help="keep.best_trials of ours")] = None,
) -> None:
    """Measure, and print a table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chosen = optuna.pruners.MedianPruner() if pruner == "median" else optuna.pruners.NopPruner()
    asks = pruner != "none"
    print(
        f"{'trials':>7} {'':14} " + "".join(f"{name:>11}" for name in (*SECTIONS, "whole", "CPU"))
    )
    for count in trials or [100, 1_000, 10_000]:
        with tempfile.TemporaryDirectory() as temporary:
            url = bare_database(Path(temporary) / "bare.db", count)
            bare = optuna.load_study(study_name="bare", storage=url, pruner=chosen)
            ways = {
                "ours": ours(Path(temporary) / "ours", count, pruner, best),
                "Optuna SQLite": optunas(bare, asks),
                "Optuna memory": optunas(memory_study(count, pruner=chosen), asks),
            }
            _show(count, measured(ways, steps))


def _show(trials: int, found: dict[str, dict[str, float]]) -> None:
    peer = found["Optuna SQLite"]
    for way, sections in found.items():
        figures = "".join(f"{value:11.1f}" for value in sections.values())
        ratios = (f"{sections[name] / peer[name]:.2f}" for name in ("whole", "CPU"))
        print(f"{trials:7} {way:14} {figures}   {' and '.join(ratios)} x Optuna SQLite")


if __name__ == "__main__":
    typer.run(main)
