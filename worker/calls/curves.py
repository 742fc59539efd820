"""A trial's curves, drawn anew from its events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from protocol.errors import SettingsError
from protocol.folders import TrialFolder
from protocol.messages import latest_plan
from worker.training.history import history_chart, history_name, read_history
from worker.training.raster import write_png


def curves(*, trial: str, out: str) -> dict[str, Any]:
    """Draw training losses and the objective over epochs, of every fold.

    Args:
        trial: its folder.
        out: the folder to draw into.

    Returns:
        {"curves": [path]}.

    Raises:
        SettingsError: the trial has not validated an epoch yet.
    """
    source, target = TrialFolder(Path(trial)), Path(out)
    plan, validated = latest_plan(source), read_history(source.events)
    if plan is None or not validated:
        raise SettingsError(f"trial {source.number} has not validated an epoch yet: no curves")
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for fold in sorted({event.fold for event in validated}):
        of_fold = [event for event in validated if event.fold == fold]
        chart = history_chart(of_fold, plan.objective.metric, history_name(plan, fold))
        path = target / (f"fold{fold}_history.png" if plan.folds > 1 else "history.png")
        write_png(chart, path)
        paths.append(str(path))
    return {"curves": paths}
