"""`status` on a study of many trials and `list` on many studies, beside opening them with Optuna.

    python -m benchmarks.looking [--trials 10000] [--studies 200] [--rounds 3]

Each is a process of its own, imports included, in turn with one that opens the same databases with
Optuna and has their trials.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import optuna
import typer
import yaml

from benchmarks.filled import our_study, settings_of
from protocol.folders import StudyFolder

_OF_EACH = 50  # trials of each of many studies
_OPTUNA = """
import sys, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
for place in sys.argv[1:]:
    name = place.rstrip("/").rpartition("/")[2]
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{place}/study.db")
    assert len(study.get_trials(deepcopy=False))
"""


def make(runs: Path, studies: int, trials: int) -> list[StudyFolder]:
    """Studies with their settings, so that their budgets and metrics are known."""
    settings = {"asked": {}, "settings": settings_of().model_dump(mode="json")}
    folders = [our_study(runs / f"study_{number}", trials) for number in range(studies)]
    for folder in folders:
        folder.settings.write_text(yaml.safe_dump(settings))
    return folders


def seconds_of(command: Sequence[str]) -> float:
    """That a command takes, from its start to its end."""
    begun = time.perf_counter()
    environment = {**os.environ, "COLUMNS": "80"}
    subprocess.run(
        [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    return time.perf_counter() - begun


def compare(what: str, command: Sequence[str], folders: Sequence[StudyFolder], rounds: int) -> None:
    """Print how long a command of ours takes beside Optuna."""
    places = [str(folder.path) for folder in folders]
    turns = [
        (seconds_of(["-m", "orchestrator", *command]), seconds_of(["-c", _OPTUNA, *places]))
        for _ in range(rounds)
    ]
    ours, theirs = (statistics.median(figures) for figures in zip(*turns, strict=True))
    ratio = statistics.median(mine / other for mine, other in turns)
    print(f"{what:36} {ours:8.2f} {theirs:8.2f} {ratio:6.2f}")


def main(
    trials: Annotated[int, typer.Option(help="of the large study")] = 10_000,
    studies: Annotated[int, typer.Option(help="in the full folder")] = 200,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure, and print a table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{'seconds':36} {'ours':>8} {'Optuna':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary)
        folders = make(runs, 1, trials)
        status = ["status", "--study_name", folders[0].name, "--runs_dir", str(runs)]
        compare(f"status, {trials} trials", status, folders, rounds)
        compare("the same, --json", [*status, "--json"], folders, rounds)
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary)
        folders = make(runs, studies, _OF_EACH)
        what = f"list, {studies} studies of {_OF_EACH} trials"
        compare(what, ["list", "--runs_dir", str(runs)], folders, rounds)


if __name__ == "__main__":
    typer.run(main)
