"""Every trial as a row."""

from __future__ import annotations

from typing import Any

from orchestrator.showing.hours import of_trial
from orchestrator.showing.look import Look


def table(look: Look) -> dict[str, Any]:
    """`columns`, and `rows` of values as they are in the study; None where there is none."""
    metrics = dict.fromkeys(
        name for trial in look.record.trials for name in trial.metrics if name != look.metric
    )
    own = ["trial", "state", look.metric, "best epoch", "epochs", "attempts", "device-hours"]
    columns = [*own, *look.searched, *sorted(metrics), "reason"]
    rows = [
        [
            trial.number,
            trial.state,
            trial.value,
            trial.best_epoch or None,
            trial.epoch or None,
            trial.attempts or None,
            of_trial(look, trial.number).device_hours or None,
            *(trial.params.get(name) for name in look.searched),
            *(trial.metrics.get(name) for name in sorted(metrics)),
            trial.reason,
        ]
        for trial in look.record.trials
    ]
    return {
        "columns": columns,
        "rows": rows,
        "descending": look.record.direction == "maximize",
        "sorted": own.index(look.metric),
    }
