"""How far a trial has come: everything of its state that is not tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from protocol.recipe import TrainingRecipe


@dataclass
class Progress:
    """The same on all ranks, and in every `last.pth`."""

    epoch: int = 1  # being trained or validated, counted from 1
    seen: int = 0  # samples of its order already trained on, by all ranks together
    step: int = 0  # optimiser steps since the trial began
    skipped: int = 0  # steps in a row that the gradient scaler skipped
    best: float | None = None  # objective
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_digest: str = ""  # of `best.pth`; rank 0 alone knows it before a checkpoint is read
    validated: dict[str, Any] | None = None  # the last epoch's event, to be told once for certain

    def stopped_early(self, recipe: TrainingRecipe) -> bool:
        """Whether the objective has not improved for as many epochs as the recipe allows."""
        waited = self.epoch - 1 - self.best_epoch
        return recipe.early_stopping is not None and waited >= recipe.early_stopping

    def ended(self, recipe: TrainingRecipe) -> bool:
        """Whether nothing is left to train or validate."""
        return self.epoch > recipe.epochs or self.stopped_early(recipe)

    def ends_with_epoch(self, recipe: TrainingRecipe) -> bool:
        """Whether the present epoch, now that it is judged, is the last one."""
        return replace(self, epoch=self.epoch + 1).ended(recipe)

    def next_epoch(self) -> None:
        self.epoch += 1
        self.seen = 0
