"""A study in a notebook: `from orchestrator import open_study`. It only reads.

What is heavy is imported when it is asked for, because every command imports this package's face.
A model comes through the training half's door (`protocol.doors.LOAD_MODEL`), by its name: the
deciding half knows nothing of torch, and only who asks for a model imports it.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import optuna
    import pandas as pd

    from orchestrator.study.record import StudyRecord, TrialRecord
    from protocol.folders import StudyFolder

_RUNS = Path(__file__).resolve().parents[1] / "runs"


def open_study(name: str, runs_dir: str | Path | None = None) -> OpenStudy:
    """A study to look at, also while it runs.

    Args:
        name: the study's, or `confirm`'s with its study's folder as `runs_dir`.
        runs_dir: the folder that holds the studies; `runs` beside the program if not given.

    Raises:
        SettingsError: there is no such study.
    """
    from orchestrator.study.find import check_study_name, require_study
    from protocol.folders import StudyFolder

    folder = StudyFolder((_RUNS if runs_dir is None else Path(runs_dir)) / check_study_name(name))
    require_study(folder)
    return OpenStudy(folder)


class OpenStudy:
    """A study as it stood when it was first looked at; `refresh` looks anew."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        counts = self.record.counts
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        return f"<study {self.folder.name!r} in {self.folder.path}: {states or 'no trials'}>"

    def refresh(self) -> OpenStudy:
        """Look at the study again with the next question."""
        self.__dict__.pop("record", None)
        return self

    @cached_property
    def record(self) -> StudyRecord:
        """The trials as plain data."""
        from orchestrator.study.find import read_study

        return read_study(self.folder)

    @property
    def best(self) -> TrialRecord:
        """The best complete trial: `.number`, `.value`, `.params`, `.metrics`, …

        Raises:
            SettingsError: none is complete.
        """
        from orchestrator.study.find import chosen_trial

        return chosen_trial(self.record, "best")

    @property
    def trials(self) -> pd.DataFrame:
        """A row for every trial, by number: how it ended, its parameters and its metrics.

        Columns are `state`, `value`, `ending`, `reason`, `epoch`, `best_epoch`, `attempts`,
        `feasible`, `ignored`, `params_…` and `metrics_…`.

        Raises:
            UserError: pandas is not installed.
        """
        pandas = _pandas()
        rows = [
            {
                "number": trial.number,
                "state": trial.state,
                "value": trial.value,
                "ending": trial.ending,
                "reason": trial.reason,
                "epoch": trial.epoch,
                "best_epoch": trial.best_epoch,
                "attempts": trial.attempts,
                "feasible": trial.feasible,
                "ignored": trial.ignored,
                **{f"params_{name}": value for name, value in trial.params.items()},
                **{f"metrics_{name}": value for name, value in trial.metrics.items()},
            }
            for trial in self.record.trials
        ]
        table: pd.DataFrame = pandas.DataFrame(rows)
        return table.set_index("number") if rows else table

    def events(self, trial: int | str = "best") -> pd.DataFrame:
        """A row for every event of a trial, in the order in which they were told.

        Metrics and losses are columns of their own, `metrics_…` and `losses_…`.

        Raises:
            SettingsError: there is no such trial.
            UserError: pandas is not installed.
        """
        from orchestrator.study.find import chosen_trial
        from protocol.messages import read_events

        pandas, number = _pandas(), chosen_trial(self.record, str(trial)).number
        rows = [_flat(e.model_dump()) for e in read_events(self.folder.trial(number).events)]
        table: pd.DataFrame = pandas.DataFrame(rows)
        if rows:
            table["time"] = pandas.to_datetime(table["time"], unit="s", utc=True)
        return table

    def load_model(
        self, trial: int | str = "best", *, device: str = "cpu", data_root: str | None = None
    ) -> tuple[Any, Any]:
        """The family and the trained model of a trial's best checkpoint, ready for inference.

        Args:
            trial: `best`, or a number.
            device: where the model is put.
            data_root: where the data lie now, in place of `data.root` as it was in training.

        Raises:
            SettingsError: there is no such trial, or it has no checkpoint.
            CheckpointError: the checkpoint is damaged.
        """
        from orchestrator.study.find import chosen_trial, with_checkpoint
        from protocol.doors import LOAD_MODEL

        checkpoint = with_checkpoint(self.folder, chosen_trial(self.record, str(trial))).best
        module, _, function = LOAD_MODEL.partition(":")
        load: Callable[..., tuple[Any, Any]] = getattr(importlib.import_module(module), function)
        return load(checkpoint, device=device, data_root=data_root)

    def optuna_study(self) -> optuna.Study:
        """The study for Optuna's own functions: a copy in memory, which is written nowhere.

        Trials that are ignored have failed in it.
        """
        import optuna

        from orchestrator.showing.look import look

        found = look(self.folder)
        copy = optuna.create_study(study_name=found.name, direction=found.record.direction)
        copy.add_trials(found.trials)
        return copy


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in event.items():
        if key in ("metrics", "losses") and isinstance(value, dict):
            flat |= {f"{key}_{name}": item for name, item in value.items()}
        else:
            flat[key] = value
    return flat


def _pandas() -> Any:
    from protocol.errors import UserError

    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise UserError(
            "a table takes pandas, which the extra `notebook` brings: scripts/setup.sh notebook"
        ) from None
