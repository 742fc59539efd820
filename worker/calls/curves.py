"""Curves of trials whose ranks have gone: drawn beside the trials that train by then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from protocol.files import sweep_partials
from protocol.folders import TrialFolder
from protocol.messages import load_plan
from worker.training.history import draw_histories


def draw_curves(folders: Sequence[str]) -> None:
    """Draw history.png of each of these trials' folders."""
    for path in folders:
        folder = TrialFolder(Path(path))
        for run in folder.runs():
            sweep_partials(run.path)  # which an earlier process was killed at
        draw_histories(folder, load_plan(folder.plan))
