"""What it costs to launch a trial: our fork server, torchrun, and torch.multiprocessing.spawn.

    python -m benchmarks.launch [--rounds 3] [--json figures.json]

The same no-op trial with two gloo ranks (one step, one validation, its checkpoints and events) is
launched in each way, one at a time and two at a time. The ways take turns in every round, so that
whatever else the machine does falls on all of them alike. Ours is warm, as it is from a study's
second trial on; the time to warm it, once a study, is told beside. torchrun and spawn have no
such state to warm. The figures are trials a minute, and how many times ours are torchrun's.
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

ROOT = Path(__file__).resolve().parents[1]
RANKS = 2
Launch = Callable[[list[TrialFolder]], None]

RANK_SCRIPT = """
import os, sys
from pathlib import Path
from protocol.folders import TrialFolder
from worker.processes.rank import run_rank

sys.exit(run_rank(TrialFolder(Path(sys.argv[1])), int(os.environ["RANK"]), lambda: None))
"""

SPAWN_SCRIPT = """
import sys
from pathlib import Path
import torch.multiprocessing
from protocol.folders import TrialFolder
from worker.processes.rank import run_rank

def run(rank, folder):
    run_rank(TrialFolder(Path(folder)), rank, lambda: None)

if __name__ == "__main__":
    torch.multiprocessing.spawn(run, args=(sys.argv[1],), nprocs=%d)
"""


def planned(folder: Path, number: int) -> TrialFolder:
    """A trial's folder with a plan in it."""
    trial = TrialFolder(folder / f"trial_{number}")
    trial.path.mkdir(parents=True)
    plan = Plan(
        study="launch",
        trial=number,
        attempt=0,
        seed=0,
        family=f"{ROOT}/benchmarks/noop.py:Noop",
        recipe={"epochs": 1, "batch_size": 1},
        data={},
        objective=Objective(metric="error", direction="minimize"),
        devices=["cpu"] * RANKS,
        threads=1,
        pictures=0,
    )
    save_message(trial.plan, plan)
    return trial


def through_fork_server(launcher: LocalLauncher) -> Launch:
    def launch(trials: list[TrialFolder]) -> None:
        plans = [Plan.model_validate_json(trial.plan.read_text()) for trial in trials]
        attempts = [launcher.launch(trial, plan) for trial, plan in zip(trials, plans, strict=True)]
        while attempts:
            select.select(attempts, [], [])
            attempts = [attempt for attempt in attempts if attempt.poll() is None]

    return launch


def through_commands(command: Callable[[TrialFolder], list[str]]) -> Launch:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def launch(trials: list[TrialFolder]) -> None:
        children = [
            subprocess.Popen(
                command(trial),
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for trial in trials
        ]
        for child in children:
            child.wait()

    return launch


def timed(launch: Launch, trials: list[TrialFolder]) -> float:
    """Seconds until all trials have finished, which is checked."""
    start = time.perf_counter()
    launch(trials)
    seconds = time.perf_counter() - start
    for trial in trials:
        if not any(isinstance(event, Finished) for event in read_events(trial.events)):
            raise RuntimeError(f"{trial.path} did not finish")
    return seconds


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    fork_server_repeats: Annotated[int, typer.Option(min=1, help="launches a turn")] = 5,
    out: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scripts = {"torchrun": folder / "rank.py", "spawn": folder / "spawn.py"}
        scripts["torchrun"].write_text(RANK_SCRIPT)
        scripts["spawn"].write_text(SPAWN_SCRIPT % RANKS)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        torchrun += [f"--nproc-per-node={RANKS}", str(scripts["torchrun"])]
        launcher = LocalLauncher(log=folder / "log")
        ways: dict[str, tuple[Launch, int]] = {
            "fork server": (through_fork_server(launcher), fork_server_repeats),
            "torchrun": (through_commands(lambda t: [*torchrun, str(t.path)]), 1),
            "mp.spawn": (
                through_commands(lambda t: [sys.executable, str(scripts["spawn"]), str(t.path)]),
                1,
            ),
        }
        start = time.perf_counter()
        launcher.start()
        ways["fork server"][0]([planned(folder / "warm", 0)])
        warming = time.perf_counter() - start
        rates: dict[str, dict[int, list[float]]] = {way: {1: [], 2: []} for way in ways}
        number = 0
        for _ in range(rounds):
            for at_once in (1, 2):
                for way, (launch, repeats) in ways.items():
                    for _ in range(repeats):
                        trials = [planned(folder, number + i) for i in range(at_once)]
                        number += at_once
                        rates[way][at_once].append(60 * at_once / timed(launch, trials))
        launcher.close()
    _show(rates, warming)
    if out is not None:
        out.write_text(json.dumps({"trials_per_minute": rates, "warming_seconds": warming}))


def _show(rates: dict[str, dict[int, list[float]]], warming: float) -> None:
    print(f"warming the fork server, once a study: {warming:.1f} s")
    print(f"{'':12} {'at once':>8} {'trials/min':>11} {'least':>8} {'most':>8} {'ours / it':>10}")
    for way, by_count in rates.items():
        for at_once, found in by_count.items():
            median = statistics.median(found)
            ours = statistics.median(rates["fork server"][at_once])
            print(
                f"{way:12} {at_once:8} {median:11.1f} {min(found):8.1f} {max(found):8.1f} "
                f"{ours / median:10.1f}"
            )


if __name__ == "__main__":
    typer.run(main)
