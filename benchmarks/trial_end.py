"""What a trial's pictures and curves cost: no-op trials with the defaults, and with neither.

    python -m benchmarks.trial_end [--rounds 10]

The trial is that of benchmarks.launch, whose family has no pictures of its own: what remains are
the best weights, loaded once more, and the curves. Both ways take turns, one trial at a time; the
figures are trials a minute, as far as their ranks are concerned.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.launch import planned, through_fork_server, timed
from orchestrator.launcher.local import LocalLauncher
from protocol.messages import load_plan, save_message

PICTURES = {"defaults": 4, "neither": 0}


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
                trial = planned(folder / way, number)
                plan = load_plan(trial.plan)
                save_message(trial.plan, plan.model_copy(update={"pictures": PICTURES[way]}))
                seconds[way].append(timed(launch, [trial]))
        launcher.close()
    print("| pictures and curves | trials a minute | of neither |\n|---|---|---|")
    for way, found in seconds.items():
        pairs = zip(seconds["neither"], found, strict=True)
        ratio = statistics.median(without / other for without, other in pairs)
        print(f"| {way} | {60 / statistics.median(found):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    typer.run(main)
