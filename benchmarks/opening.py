"""Opening a study of many trials: seconds and memory, ours beside Optuna's storages.

    python -m benchmarks.opening [--trials 20 --trials 10000] [--rounds 3]

Each way runs in a process of its own, in turn, and opens a study and has all of its trials. The
seconds are those of the opening, without the imports; the megabytes are the process's peak and
what it holds afterwards, imports included. `a report` is what `status` reads.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import optuna
import psutil
import typer
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.filled import bare_database, memory_study, our_study
from orchestrator.study.find import read_study
from orchestrator.study.storage import open_study
from protocol.folders import StudyFolder


def ours(place: Path) -> int:
    """As a search opens it."""
    return len(open_study(StudyFolder(place / "ours"), None, "minimize").get_trials(deepcopy=False))


def report(place: Path) -> int:
    """As `status` reads it."""
    return len(read_study(StudyFolder(place / "ours")).trials)


def bare(place: Path) -> int:
    """Optuna with SQLite."""
    study = optuna.load_study(study_name="bare", storage=f"sqlite:///{place}/bare.db")
    return len(study.get_trials(deepcopy=False))


def same_rows(place: Path) -> int:
    """Optuna with our database, whose trials have attributes and notes."""
    study = optuna.load_study(study_name="ours", storage=f"sqlite:///{place}/ours/study.db")
    return len(study.get_trials(deepcopy=False))


def journal(place: Path) -> int:
    """Optuna with a journal in a file."""
    study = optuna.load_study(study_name="journal", storage=_journal(place))
    return len(study.get_trials(deepcopy=False))


def _journal(place: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(place / "journal.log")))


WAYS: dict[str, Callable[[Path], int]] = {
    "ours": ours,
    "a report": report,
    "Optuna SQLite": bare,
    "Optuna, our rows": same_rows,
    "Optuna journal": journal,
}


def make(place: Path, trials: int) -> None:
    """All of the studies, with the same trials."""
    our_study(place / "ours", trials)
    bare_database(place / "bare.db", trials)
    copied = optuna.create_study(study_name="journal", storage=_journal(place))
    copied.add_trials(memory_study(trials).get_trials(deepcopy=False))


def opened_by(way: str, place: Path) -> dict[str, float]:
    """What opening came to in a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.opening", "--alone", way, "--place", str(place)]
    told = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(told))


def alone(way: str, place: Path) -> None:
    begun = time.perf_counter()
    found = WAYS[way](place)
    seconds = time.perf_counter() - begun
    peak = _peak()
    held = psutil.Process().memory_info().rss / 2**20
    print(json.dumps({"trials": found, "seconds": seconds, "peak": peak, "held": held}))


def _peak() -> float:
    """The most megabytes that this process held; `ru_maxrss` counts those of the one it was."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main(
    trials: Annotated[list[int] | None, typer.Option(help="that the study has")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    of: Annotated[str | None, typer.Option("--alone", hidden=True)] = None,
    place: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure, and print a table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if of is not None and place is not None:
        alone(of, place)
        return
    print(f"{'trials':>7} {'':18} {'seconds':>9} {'peak MB':>9} {'MB held':>9}")
    for count in trials or [20, 10_000]:
        with tempfile.TemporaryDirectory() as temporary:
            make(Path(temporary), count)
            turns = [{way: opened_by(way, Path(temporary)) for way in WAYS} for _ in range(rounds)]
        for way in WAYS:
            assert {turn[way]["trials"] for turn in turns} == {count}
            middle = {
                figure: statistics.median(turn[way][figure] for turn in turns)
                for figure in ("seconds", "peak", "held")
            }
            print(
                f"{count:7} {way:18} {middle['seconds']:9.2f} {middle['peak']:9.0f} "
                f"{middle['held']:9.0f}"
            )


if __name__ == "__main__":
    typer.run(main)
