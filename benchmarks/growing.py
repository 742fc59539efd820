"""What earlier trials are worth after the space has grown: TPE with them, and without.

A bowl over nine numbers and a word is searched for 50 trials; then a list gets a choice and a range
is moved, 10 trials later a key is added. Counted are the trials from then on until one is as good
as can be wanted, with all earlier trials in the sampler's view, and with none of them.

    python -m benchmarks.growing --seeds 20
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from orchestrator.proposing.ask import Asker
from orchestrator.settings.schema import Settings
from orchestrator.settings.space import Space
from orchestrator.study.counting.ignored import set_ignored
from orchestrator.study.journal import note
from orchestrator.study.storage import open_study
from protocol.folders import StudyFolder
from protocol.recipe import TrainingRecipe

_NUMBERS = {f"n{index}": {"low": 0.0, "high": 1.0} for index in range(7)}
FIRST = {
    **_NUMBERS,
    "rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "window": {"choices": ["full", "hann"]},
}
SECOND = {
    **_NUMBERS,
    "rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "window": {"choices": ["full", "hann", "fourier"]},
}
THIRD = {**SECOND, "width": {"low": 0.0, "high": 1.0}}
_BEST = {
    "n0": 0.2,
    "n1": 0.8,
    "n2": 0.35,
    "n3": 0.65,
    "n4": 0.1,
    "n5": 0.9,
    "n6": 0.5,
    "width": 0.7,
}
_FIXED = {"width": 0.55}
_WINDOWS = {"full": 0.3, "hann": 0.15, "fourier": 0.0}
_ENOUGH = 0.9
_MOST = 200


def loss(recipe: Mapping[str, Any]) -> float:
    """Of one point; the best is 0."""
    numbers = sum(abs(recipe[key] - best) for key, best in _BEST.items())
    rate = abs(len(f"{1 / recipe['rate']:.0f}") - 4) * 0.1  # best from 1e-4 to 1e-3
    return float(numbers + rate + _WINDOWS[recipe["window"]])


class Study:
    """A study of this bowl in `runs`, whose space is that of its last `grow`."""

    def __init__(self, runs: Path, seed: int) -> None:
        self.folder, self.seed = StudyFolder(runs / "bowl"), seed
        self.folder.path.mkdir()
        self.study = open_study(self.folder, None, "minimize")
        self.grow(FIRST)

    def grow(self, search: Mapping[str, Any]) -> None:
        """Search there from now on."""
        settings = Settings.model_validate(
            {
                "preset": "bowl",
                "family": "bowl",
                "objective": {"metric": "loss", "direction": "minimize"},
                "data": {},
                "seed": self.seed,
                "pruner": {"kind": "none"},
                "recipe": _FIXED,
                "search": search,
            }
        )
        defaults = TrainingRecipe().model_dump()
        space = Space.of(settings.search, settings.recipe, defaults)
        line = note(self.folder, settings, space, len(self.study.get_trials(deepcopy=False)))
        self.asker = Asker(self.folder, self.study, settings, space, line)

    def try_one(self) -> float:
        """Ask for a point, and tell its loss."""
        trial, recipe = self.asker.ask()
        value = loss(recipe.given)
        self.study.tell(trial, value)
        return value

    def forget(self) -> None:
        """Hide all trials so far from the sampler."""
        for trial in self.study.get_trials(deepcopy=False):
            set_ignored(self.study, trial.number, "forgotten")
        self.asker.look_anew()


def trials_needed(seed: int, *, forgetful: bool) -> int:
    """After the space grew twice, until one is good enough."""
    with tempfile.TemporaryDirectory() as runs:
        study = Study(Path(runs), seed)
        for search, count in ((FIRST, 50), (SECOND, 10)):
            study.grow(search)
            for _ in range(count):
                study.try_one()
        study.grow(THIRD)
        if forgetful:
            study.forget()
        return next((count for count in range(1, _MOST) if study.try_one() < _ENOUGH), _MOST)


def compared(seeds: int) -> tuple[float, float]:
    """The mean number of trials with earlier ones, and without."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = [
        [trials_needed(seed, forgetful=forgetful) for seed in range(seeds)]
        for forgetful in (False, True)
    ]
    return statistics.mean(found[0]), statistics.mean(found[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seen, forgotten = compared(parser.parse_args().seeds)
    print(
        f"{seen:.0f} trials with the earlier ones in view, {forgotten:.0f} without: "
        f"{forgotten / seen:.1f} times as many"
    )
