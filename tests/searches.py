"""Small searches on real SQLite studies, with an objective that costs nothing."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.proposing.ask import Asker
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Space
from orchestrator.study.storage import open_study
from protocol.folders import StudyFolder
from protocol.recipe import Recipe, TrainingRecipe

Direction = Literal["minimize", "maximize"]

NUMBERS = {
    "x": {"low": -1.0, "high": 1.0},
    "y": {"low": 1, "high": 9},
    "z": {"low": 0.0, "high": 1.0},
}
CONDITIONAL = {
    "rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "window": {"choices": ["full", "fourier", "per_frequency"]},
    "harmonics": {"low": 10, "high": 40, "step": 10, "when": {"window": "fourier"}},
    "phase": {"low": 0.0, "high": 1.0, "when": {"window": ["fourier", "full"]}},
    "scale": {"low": 0.4, "high": 1.0},
}


def make_settings(search: dict[str, Any], sampler: dict[str, Any], **changes: Any) -> Settings:
    given = {
        "preset": "test",
        "family": "toy",
        "objective": {"metric": "error", "direction": "minimize"},
        "data": {},
        "pruner": {"kind": "none"},
    }
    return Settings.model_validate(given | changes | {"search": search, "sampler": sampler})


class Killed(Exception):
    """Where a kill -9 would have fallen."""


@dataclass
class SmallSearch:
    """Asks for trials and tells their values; may lose everything but its database at any time."""

    runs: Path
    settings: Settings
    study: optuna.Study = field(init=False)
    asker: Asker = field(init=False)

    def __post_init__(self) -> None:
        self.folder = StudyFolder(self.runs / "small")
        self.folder.path.mkdir(parents=True, exist_ok=True)
        if not self.folder.database.exists():
            blank = _blank_study(self.folder.name, self.settings.objective.direction)
            self.folder.database.write_bytes(blank)
        self.restart()

    def restart(self) -> None:
        """Begin anew from what is in the database."""
        self.study = open_study(self.folder, None, self.settings.objective.direction)
        defaults = TrainingRecipe().model_dump()
        space = Space.of(self.settings.search, self.settings.recipe, defaults)
        self.asker = Asker(self.folder, self.study, self.settings, space)

    def run(self, trials: int) -> list[dict[str, Any]]:
        """Search without an interruption; the points asked for."""
        for _ in range(trials):
            self.tell(*self.asker.ask())
        return self.points()

    def run_with_kills(self, trials: int) -> list[dict[str, Any]]:
        """The same, but each trial was left half-asked, every time with one more value stored."""
        for kept in itertools.islice(itertools.cycle(range(4)), trials):
            number = self.asker.ask()[0].number
            self._forget_values(number, kept)
            self.restart()
            (half,) = self.study.get_trials(states=(TrialState.RUNNING,))
            assert len(half.params) <= kept
            self.tell(*self.asker.attach(half))
        return self.points()

    def tell(self, trial: optuna.Trial, recipe: Recipe) -> None:
        self.study.tell(trial, objective(recipe.given))

    def points(self) -> list[dict[str, Any]]:
        return [trial.params for trial in self.trials()]

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _forget_values(self, number: int, kept: int) -> None:
        """As a version left a trial that stored value after value and was killed in between."""
        with contextlib.closing(sqlite3.connect(self.folder.database)) as connection:
            connection.execute(
                "DELETE FROM trial_params WHERE param_id IN (SELECT param_id FROM trial_params p"
                " JOIN trials t ON t.trial_id = p.trial_id WHERE t.number = ?"
                " ORDER BY param_id LIMIT -1 OFFSET ?)",
                (number, kept),
            )
            connection.commit()


@functools.cache
def _blank_study(name: str, direction: Direction) -> bytes:
    """The database of a study without trials: making the tables anew takes most of a second."""
    with tempfile.TemporaryDirectory() as place:
        folder = StudyFolder(Path(place) / name)
        folder.path.mkdir()
        study = open_study(folder, None, direction)
        study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
        return folder.database.read_bytes()


def objective(recipe: Mapping[str, Any]) -> float:
    """A bowl over the numbers, deeper for some words than for others."""
    return sum(
        abs(value - 0.3) if isinstance(value, int | float) else len(str(value)) / 10
        for value in recipe.values()
    )
