"""What it costs to run a script's processes: as a trial, by torchrun, and bare.

    python -m benchmarks.scripts [--rounds 5] [--ranks 2] [--json figures.json]

The script is a user's that ends at once: it imports nothing, and rank 0 writes a table of one
epoch. As a trial its processes are started in the environment that torchrun makes and looked after,
its table is read and its end is told; torchrun starts and watches them; bare they are only waited
for, which nothing can be faster than. The ways take turns. The figures are seconds, and how many
times those of a trial the others take.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.launcher.local import LocalLauncher
from protocol.folders import TrialFolder
from protocol.messages import Finished, Plan, read_events, save_message
from protocol.objective import Objective
from protocol.script import SCRIPT, Reports, ScriptPlan

PROGRAM = """
import os, sys
if os.environ.get("RANK", "0") == "0":
    with open(sys.argv[1] + "/metrics.csv", "w") as table:
        table.write("epoch,error\\n1,0.5\\n")
"""


def planned(folder: Path, number: int, script: Path, ranks: int) -> TrialFolder:
    """A trial's folder with a plan in it."""
    trial = TrialFolder(folder / f"trial_{number}")
    trial.output.mkdir(parents=True)
    plan = Plan(
        study="scripts",
        trial=number,
        attempt=0,
        seed=0,
        family=SCRIPT,
        recipe={},
        data={},
        objective=Objective(metric="error", direction="minimize"),
        devices=["cpu"] * ranks,
        threads=1,
        script=ScriptPlan(
            command=[sys.executable, str(script), str(trial.output)],
            workdir=str(folder),
            folder=str(trial.output),
            launch="torchrun",
            report=Reports(csv="metrics.csv"),
        ),
    )
    save_message(trial.plan, plan)
    return trial


def as_trial(launcher: LocalLauncher, trial: TrialFolder) -> None:
    """Launch it, and wait until all of it has ended, which is checked."""
    attempt = launcher.launch(trial, Plan.model_validate_json(trial.plan.read_text()))
    while attempt.poll() is None:
        select.select([attempt], [], [])
    if not any(isinstance(event, Finished) for event in read_events(trial.events)):
        raise RuntimeError(f"{trial.path} did not finish")


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    ranks: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Measure, and print a table."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun.append(f"--nproc-per-node={ranks}")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    seconds: dict[str, list[float]] = {"trial": [], "torchrun": [], "bare": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        script = folder / "train.py"
        script.write_text(PROGRAM)
        launcher = LocalLauncher(log=folder / "log", scripts=True)
        as_trial(launcher, planned(folder, 0, script, ranks))  # what a study pays once
        for number in range(1, rounds + 1):
            trial = planned(folder, number, script, ranks)
            command = [str(script), str(trial.output)]

            def bare(command: list[str] = command) -> None:
                children = [subprocess.Popen([sys.executable, *command]) for _ in range(ranks)]
                for child in children:
                    child.wait()

            ways: dict[str, Callable[[], object]] = {
                "trial": lambda trial=trial: as_trial(launcher, trial),  # type: ignore[misc]
                "torchrun": lambda command=command: subprocess.run(  # type: ignore[misc]
                    [*torchrun, *command], env=environment, check=True, stderr=subprocess.DEVNULL
                ),
                "bare": bare,
            }
            for way, run in ways.items():
                start = time.perf_counter()
                run()
                seconds[way].append(time.perf_counter() - start)
        launcher.close()
    ours = statistics.median(seconds["trial"])
    for way, found in seconds.items():
        median = statistics.median(found)
        print(
            f"{way:9} {median:6.2f} s ({min(found):.2f} to {max(found):.2f}), {median / ours:.2f} ×"
        )
    if out is not None:
        out.write_text(json.dumps(seconds))


if __name__ == "__main__":
    typer.run(main)
