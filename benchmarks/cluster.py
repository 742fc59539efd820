"""What it costs to launch a trial on a Slurm cluster: our pool of jobs, and one job a trial.

    python -m benchmarks.cluster [--rounds 3] [--json figures.json]

The same no-op trial with two gloo ranks is launched two at a time through our launcher with
`reuse: true` and with `reuse: false`, as plain submitit does it, a pickled function a job, and by
Hydra's launcher for submitit where that is installed (hydra-submitit-launcher), a job of an array
each; the ways take turns. The cluster is that of the tests, two nodes of this machine, which root
alone can start; with --here it is the one whose commands are at hand. The figures are trials a
minute, the pool's first jobs already running, as they are from a study's third trial on, and how
many times those of one job a trial they are.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import submitit
import typer

from benchmarks.launch import RANKS, SPAWN_SCRIPT, planned
from orchestrator.launcher.local import LocalLauncher
from orchestrator.launcher.settings import LauncherSettings
from orchestrator.launcher.slurm.launcher import SlurmLauncher
from protocol.folders import TrialFolder
from protocol.messages import Finished, load_plan, read_events, save_message
from tests.slurm.cluster import Cluster

ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 2
MEMORY_GB = 1.9


def ours(place: Path, *, reuse: bool) -> SlurmLauncher:
    place.mkdir()
    return SlurmLauncher(
        jobs=place / "jobs",
        launcher=LauncherSettings(
            kind="slurm", jobs=AT_ONCE, reuse=reuse, mem_gb=MEMORY_GB, idle_seconds=3600.0
        ),
        name=lambda number: f"{place.name}.{number}",
        family=f"{ROOT}/benchmarks/noop.py:Noop",
        stages=1,
        processes=RANKS,
        local=LocalLauncher(log=place / "log"),
        say=print,
    )


def through_pool(launcher: SlurmLauncher, trials: list[TrialFolder]) -> None:
    """Two at a time, to the end of all."""
    left, attempts = list(trials), []
    while left or attempts:
        while left and len(attempts) < AT_ONCE:
            folder = left.pop(0)
            plan = load_plan(folder.plan).model_copy(update={"nodes": 1})
            save_message(folder.plan, plan)
            attempts.append(launcher.launch(folder, plan))
        time.sleep(0.02)
        attempts = [attempt for attempt in attempts if attempt.poll() is None]


def _train(script: str, folder: str) -> None:
    subprocess.run([sys.executable, script, folder], check=True)


def through_submitit(place: Path, script: Path, trials: list[TrialFolder]) -> None:
    executor = submitit.SlurmExecutor(folder=place)
    executor.update_parameters(time=10, cpus_per_task=RANKS, mem=f"{round(1024 * MEMORY_GB)}M")
    left, jobs = list(trials), []
    while left or jobs:
        while left and len(jobs) < AT_ONCE:
            jobs.append((executor.submit(_train, str(script), str(left[0].path)), left.pop(0)))
        time.sleep(0.02)
        # As whoever looks for its result file does: its own watcher needs accounting.
        jobs = [(job, trial) for job, trial in jobs if not job.paths.result_pickle.exists()]


HYDRA_APP = """
import subprocess, sys
import hydra

@hydra.main(version_base=None)
def run(cfg):
    subprocess.run([sys.executable, %r, cfg.trial], check=True)

run()
"""


def through_hydra(app: Path, trials: list[TrialFolder]) -> None:
    launcher = "hydra.launcher"
    command = [sys.executable, str(app), "--multirun", "hydra/launcher=submitit_slurm"]
    command += [f"{launcher}.array_parallelism={AT_ONCE}", f"{launcher}.cpus_per_task={RANKS}"]
    command += [f"{launcher}.mem_gb={math.ceil(MEMORY_GB)}", f"{launcher}.timeout_min=10"]
    command += ["+trial=" + ",".join(str(trial.path) for trial in trials)]
    subprocess.run(command, check=True, cwd=app.parent, stdout=subprocess.DEVNULL)


def check(trials: list[TrialFolder]) -> None:
    for trial in trials:
        if not any(isinstance(event, Finished) for event in read_events(trial.events)):
            raise RuntimeError(f"{trial.path} did not finish")


@contextlib.contextmanager
def cluster(here: bool, folder: Path) -> Iterator[None]:
    if here:
        yield
        return
    started = Cluster(folder)
    started.start()
    before = dict(os.environ)
    os.environ.update(started.env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        started.stop()


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    pool_trials: Annotated[int, typer.Option(min=2, help="trials of a pool's turn")] = 20,
    trials: Annotated[int, typer.Option(min=2, help="trials of the others' turns")] = 4,
    here: Annotated[bool, typer.Option("--here", help="on the cluster at hand")] = False,
    out: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Measure, and print a table."""
    place = Path.cwd() if here else None
    with tempfile.TemporaryDirectory(dir=place) as temporary:
        folder = Path(temporary)
        with cluster(here, folder / "cluster"):
            rates = _measured(folder, rounds, pool_trials, trials)
    figures = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in figures.items():
        print(f"{name:30} {rate:7.1f} trials a minute")
    for name in list(figures)[1:]:
        print(f"reuse is {figures['reuse'] / figures[name]:.1f} × {name}")
    if out is not None:
        out.write_text(json.dumps(rates, indent=2) + "\n")


def _measured(folder: Path, rounds: int, many: int, few: int) -> dict[str, list[float]]:
    script = folder / "spawn.py"
    script.write_text(SPAWN_SCRIPT % RANKS)
    paths = (str(ROOT), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ["OMP_NUM_THREADS"] = "1"
    pool, single = ours(folder / "pool", reuse=True), ours(folder / "single", reuse=False)
    ways = {
        "reuse": (many, lambda some: through_pool(pool, some)),
        "one job a trial": (few, lambda some: through_pool(single, some)),
        "plain submitit": (few, lambda some: through_submitit(folder / "s", script, some)),
    }
    if find_spec("hydra_plugins") and find_spec("hydra_plugins.hydra_submitit_launcher"):
        app = folder / "app.py"
        app.write_text(HYDRA_APP % str(script))
        ways["Hydra's submitit launcher"] = (few, lambda some: through_hydra(app, some))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    number = 0
    try:
        through_pool(pool, [planned(folder / "warm", trial) for trial in range(AT_ONCE)])
        for _ in range(rounds):
            for name, (count, way) in ways.items():
                some = [planned(folder / "trials", number + trial) for trial in range(count)]
                number += count
                start = time.perf_counter()
                way(some)
                rates[name].append(60 * count / (time.perf_counter() - start))
                check(some)
    finally:
        pool.close()
        single.close()
    return rates


if __name__ == "__main__":
    typer.run(main)
