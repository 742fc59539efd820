"""Resuming a study: seconds from typing the command to the first launch, of few trials and many.

    python -m benchmarks.resume [--trials 20 --trials 10000] [--rounds 5]

A study is begun with one no-op trial. Its database then gets the rows of as many trials, each with
a copy of that trial's folder. The studies take turns to be resumed for one more trial; the seconds
are those until its plan stands, which is written right before the launch.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

from benchmarks.filled import SEARCH, fill
from benchmarks.launch import ROOT
from protocol.folders import StudyFolder

LOOK = 0.002  # seconds between looks for the plan
SEARCHED = ("learning_rate", "plateau_factor", "batch_size")
SETTINGS = {
    "family": f"{ROOT}/benchmarks/noop.py:Noop",
    "objective": {"metric": "error", "direction": "minimize"},
    "data": {},
    "devices": "cpu",
    "recipe": {"epochs": 1, "scheduler": "plateau"},
    "search": {key: SEARCH[key] for key in SEARCHED},
    "keep": {"best_trials": 10},
}


def resumed(folder: StudyFolder, trials: int) -> subprocess.Popen[bytes]:
    """Begin or resume a study until it has as many trials."""
    preset = folder.path.with_suffix(".yml")
    preset.write_text(yaml.safe_dump(SETTINGS))
    command = [sys.executable, "-m", "orchestrator", "run", "--study_name", folder.name]
    command += ["--runs_dir", str(folder.path.parent), "--n_trials", str(trials)]
    command += ["--preset", str(preset)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def study_of(runs: Path, trials: int) -> StudyFolder:
    """A study of as many trials, with their folders."""
    folder = StudyFolder(runs / f"of_{trials}")
    if resumed(folder, 1).wait() != 0:
        raise RuntimeError("the first trial failed")
    fill(folder, trials, SEARCHED)
    for number in range(1, trials):
        shutil.copytree(folder.trial(0).path, folder.trial(number).path)
    return folder


def seconds_to_launch(folder: StudyFolder, trials: int) -> float:
    """Until a trial beyond those `trials` that the study has is about to be launched."""
    begun = time.perf_counter()
    process = resumed(folder, trials + 1)
    while not folder.trial(trials).plan.exists():
        if process.poll() is not None:
            raise RuntimeError("nothing was launched")
        time.sleep(LOOK)
    seconds = time.perf_counter() - begun
    if process.wait() != 0:
        raise RuntimeError("the trial failed")
    return seconds


def main(
    trials: Annotated[list[int] | None, typer.Option(help="that the study has")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Measure, and print a table."""
    counts = trials or [20, 10_000]
    with tempfile.TemporaryDirectory() as temporary:
        folders = {count: study_of(Path(temporary), count) for count in counts}
        found: dict[int, list[float]] = {count: [] for count in counts}
        for turn in range(-1, rounds):
            for count in counts if turn % 2 else counts[::-1]:
                seconds = seconds_to_launch(folders[count], count + turn + 1)
                if turn >= 0:  # the first has numba compile, and files come into memory
                    found[count].append(seconds)
    print(f"| trials | seconds to the first launch | of {counts[0]} |\n|---|---|---|")
    for count in counts:
        ratio = statistics.median(
            mine / other for mine, other in zip(found[count], found[counts[0]], strict=True)
        )
        print(f"| {count} | {statistics.median(found[count]):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    typer.run(main)
