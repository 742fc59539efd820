"""`log`: what a rank of a trial printed, and what it prints while it trains."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from orchestrator.study.find import chosen_trial, read_study
from protocol.errors import SettingsError
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import load_outcome

_LOOK_SECONDS = 0.2
_CHUNK = 1 << 16  # bytes


def show_log(folder: StudyFolder, which: str, *, rank: int = 0, follow: bool = False) -> None:
    """Print a rank's log as it is; with `follow` also what comes, until the trial has ended.

    Raises:
        SettingsError: there is no such study, trial or rank.
    """
    trial = folder.trial(chosen_trial(read_study(folder), which).number)
    path = trial.rank_log(rank)
    if not path.exists():
        raise SettingsError(_without_log(trial, path), key="--rank" if trial.path.exists() else "")
    place = 0
    while True:
        ended = not follow or load_outcome(trial.outcome) is not None
        place = _print_from(path, place)
        if ended:  # before what was printed last
            return
        time.sleep(_LOOK_SECONDS)


def _print_from(path: Path, place: int) -> int:
    """Print what a file holds from a byte on; where it ends."""
    with path.open("rb") as log:
        log.seek(0, 2)
        log.seek(place if place <= log.tell() else 0)  # it may have been begun anew
        while chunk := log.read(_CHUNK):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return log.tell()


def _without_log(trial: TrialFolder, path: Path) -> str:
    names = sorted(trial.path.glob("rank*.log"), key=lambda log: (len(log.name), log.name))
    ranks = [log.name.removeprefix("rank").removesuffix(".log") for log in names]
    if not ranks:
        return f"trial {trial.number} has no log: it was never launched, or its files were removed"
    return f"there is no {path}; trial {trial.number} has ranks {', '.join(ranks)}"
