"""The report of a study of many trials: seconds, megabytes of the page and of the process.

    python -m benchmarks.report [--trials 100 --trials 10000] [--rounds 3]

Each is the whole command in a process of its own, imports included.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import optuna
import typer
import yaml

from benchmarks.filled import our_study, settings_of
from protocol.folders import StudyFolder


def make(place: Path, trials: int) -> StudyFolder:
    """A study with its settings, so that a page can say what was asked."""
    folder = our_study(place / "filled", trials)
    settings = settings_of().model_dump(mode="json")
    folder.settings.write_text(yaml.safe_dump({"asked": {}, "settings": settings}))
    return folder


def reported(folder: StudyFolder) -> tuple[float, float, float]:
    """Seconds, megabytes of the page, and those of the process at most."""
    where = ["--study_name", folder.name, "--runs_dir", str(folder.path.parent)]
    command = [sys.executable, "-m", "orchestrator", "report", *where]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    assert status == 0
    return seconds, folder.report.stat().st_size / 1e6, used.ru_maxrss / 1024


def main(
    trials: Annotated[list[int] | None, typer.Option(help="that the study has")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure, and print a table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{'trials':>7} {'seconds':>9} {'page MB':>9} {'peak MB':>9}")
    for count in trials or [100, 10_000]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = make(Path(temporary), count)
            turns = [reported(folder) for _ in range(rounds)]
        seconds, page, peak = (statistics.median(figures) for figures in zip(*turns, strict=True))
        print(f"{count:7} {seconds:9.1f} {page:9.1f} {peak:9.0f}")


if __name__ == "__main__":
    typer.run(main)
