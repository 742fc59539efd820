"""What a trial's pictures and curves cost: no-op trials with the defaults, and with neither.

    python -m benchmarks.trial_end [--rounds 10]

The trial is that of benchmarks.launch, whose family has no pictures of its own: what remains are
the best weights, loaded once more, and the curves, which are drawn beside the next trial. Both ways
take turns of some trials, one at a time, until the last curves are drawn; the figures are trials a
minute, as far as processes are concerned.
"""

from __future__ import annotations

import select
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.launch import Launch, planned, through_fork_server, timed
from orchestrator.launcher.local import LocalLauncher
from orchestrator.reporting.curves import Curves
from protocol.folders import TrialFolder
from protocol.messages import load_plan, save_message

IN_A_ROW = 8
PICTURES = {"defaults": 4, "neither": 0}


def in_a_row(launch: Launch, trials: list[TrialFolder], curves: Curves) -> float:
    """Seconds until all have trained and are drawn."""
    start = time.perf_counter()
    for trial in trials:
        timed(launch, [trial])
        curves.take(trial)
        curves.look()
    while curves.look():
        select.select(curves.drawing, [], [], 0.2)
    return time.perf_counter() - start


def main(rounds: Annotated[int, typer.Option(min=1)] = 10) -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        launcher = LocalLauncher(log=folder / "log")
        launch = through_fork_server(launcher)
        launch([planned(folder / "warm", 0)])
        seconds: dict[str, list[float]] = {way: [] for way in PICTURES}
        for number in range(2 * rounds):
            order = list(PICTURES) if number % 2 else list(PICTURES)[::-1]
            for way in order:
                trials = [planned(folder / way, number * IN_A_ROW + one) for one in range(IN_A_ROW)]
                for trial in trials:
                    plan = load_plan(trial.plan)
                    save_message(trial.plan, plan.model_copy(update={"pictures": PICTURES[way]}))
                curves = Curves(launcher, wanted=PICTURES[way] > 0)
                seconds[way].append(in_a_row(launch, trials, curves) / IN_A_ROW)
        launcher.close()
    print("| pictures and curves | trials a minute | of neither |\n|---|---|---|")
    for way, found in seconds.items():
        pairs = zip(seconds["neither"], found, strict=True)
        ratio = statistics.median(without / other for without, other in pairs)
        print(f"| {way} | {60 / statistics.median(found):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    typer.run(main)
