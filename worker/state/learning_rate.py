"""The learning rate of every step: a schedule over epochs times a linear warm-up over steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from protocol.objective import Objective
from protocol.recipe import TrainingRecipe

PLATEAU_THRESHOLD = 1e-4  # relative improvement that counts, as in torch's ReduceLROnPlateau


class LearningRate:
    """The recipe's schedule; only `plateau` has state, which `state` gives and `restore` takes."""

    def __init__(self, recipe: TrainingRecipe, watched: Objective) -> None:
        """At the peak rate.

        Args:
            watched: the validation metric that `plateau` follows, and which way it is better.
        """
        self._recipe = recipe
        self._watched = watched.metric
        self._sign = 1.0 if watched.direction == "minimize" else -1.0
        self._drops = 0
        self._bad_epochs = 0
        self._best: float | None = None

    def at(self, *, step: int, epochs_done: float) -> float:
        """The rate of the step after `step` earlier ones.

        Args:
            epochs_done: passes over the data before this step, fractional within an epoch.
        """
        warmup = min(1.0, (step + 1) / max(1, self._recipe.warmup_steps))
        return warmup * self._scheduled(epochs_done)

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Take note of an epoch's metrics: `plateau` drops when its own has long not improved."""
        value = self._sign * metrics[self._watched]
        margin = PLATEAU_THRESHOLD * abs(self._best) if self._best is not None else 0.0
        if self._best is None or value < self._best - margin:
            self._best, self._bad_epochs = value, 0
            return
        self._bad_epochs += 1
        if self._bad_epochs > self._recipe.plateau_patience:
            self._drops, self._bad_epochs = self._drops + 1, 0

    def state(self) -> dict[str, Any]:
        return {"drops": self._drops, "bad_epochs": self._bad_epochs, "best": self._best}

    def restore(self, state: dict[str, Any]) -> None:
        self._drops = state["drops"]
        self._bad_epochs = state["bad_epochs"]
        self._best = state["best"]

    def _scheduled(self, epochs_done: float) -> float:
        recipe = self._recipe
        peak = recipe.learning_rate
        floor = min(peak, recipe.minimum_learning_rate)
        if recipe.scheduler == "plateau":
            return max(floor, peak * recipe.plateau_factor**self._drops)
        if recipe.scheduler == "cosine":
            # Loshchilov and Hutter, "SGDR" (2017), equation 5, without restarts.
            return (
                floor + (peak - floor) * (1 + math.cos(math.pi * epochs_done / recipe.epochs)) / 2
            )
        if recipe.scheduler == "step":
            return peak * recipe.step_factor ** (int(epochs_done) // recipe.step_epochs)
        return peak
