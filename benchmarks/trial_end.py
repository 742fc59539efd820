"""What a trial's pictures and curves cost: no-op trials with the defaults, and with neither.

    python -m benchmarks.trial_end [--rounds 10]

The trial is that of benchmarks.launch. What it does beyond is drawing: its curves, and four
pictures of two panels, where its family has any. The ways take turns of some trials, one at a time;
the figures are trials a minute, as far as processes are concerned.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.launch import ROOT, planned, through_fork_server, timed
from orchestrator.launcher.local import LocalLauncher
from protocol.folders import TrialFolder
from protocol.messages import load_plan, save_message

IN_A_ROW = 8
WAYS: dict[str, dict[str, Any]] = {
    "neither": {"pictures": 0},
    "curves": {"pictures": 4},
    "curves and four pictures": {"pictures": 4, "family": f"{ROOT}/benchmarks/noop.py:Shown"},
}


def trials_of(folder: Path, way: str, first: int) -> list[TrialFolder]:
    """Some trials' folders, with plans."""
    trials = [planned(folder / way, first + one) for one in range(IN_A_ROW)]
    for trial in trials:
        save_message(trial.plan, load_plan(trial.plan).model_copy(update=WAYS[way]))
    return trials


def main(rounds: Annotated[int, typer.Option(min=1)] = 10) -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        launcher = LocalLauncher(log=folder / "log")
        launch = through_fork_server(launcher)
        launch([planned(folder / "warm", 0)])
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(2 * rounds):
            for way in list(WAYS) if number % 2 else list(WAYS)[::-1]:
                trials = trials_of(folder, way, number * IN_A_ROW)
                found = sum(timed(launch, [trial]) for trial in trials)
                seconds[way].append(found / IN_A_ROW)
        launcher.close()
    print("| drawn | trials a minute | of neither |\n|---|---|---|")
    for way, of_way in seconds.items():
        pairs = zip(seconds["neither"], of_way, strict=True)
        ratio = statistics.median(without / other for without, other in pairs)
        print(f"| {way} | {60 / statistics.median(of_way):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    typer.run(main)
