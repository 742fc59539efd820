"""A family's model in training within the test's own process, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from models.family import Batch, Split
from protocol.folders import TrialFolder
from protocol.messages import Plan, load_plan
from protocol.objective import Objective
from tests.contracts.cases import Case
from tests.contracts.objectives import GOALS
from tests.ranks import make_plan
from worker.ranks.group import Group
from worker.ranks.loading import SeededDataset
from worker.ranks.seeding import reseed
from worker.ranks.trial import Trial, open_split, open_trial
from worker.training.learner import Learner

SEED = 11


class Bench:
    """One rank of a trial, taken apart."""

    def __init__(self, folder: TrialFolder, group: Group) -> None:
        plan: Plan = load_plan(folder.plan)
        self.trial: Trial = open_trial(folder, plan, group, lambda: None)
        self.family = self.trial.family
        self.learner = Learner(self.trial)
        self.model: nn.Module = self.learner.model

    def batch(self, split: Split, indices: Sequence[int], epoch: int = 0) -> Batch:
        """These samples of a split as one batch."""
        samples = SeededDataset(open_split(self.family, split), SEED)
        return default_collate([samples[epoch, index] for index in indices])

    def loss(self, batch: Batch) -> Tensor:
        """The whole loss, with the same random numbers in every call."""
        reseed(SEED)
        return torch.stack(list(self.family.losses(self.model, batch).values())).sum()

    def step(self, batch: Batch) -> float:
        """Train on a batch; the loss before it."""
        self.model.train()
        self.learner.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.learner.optimizer.step()
        if self.learner.average:
            self.learner.average.update(self.model)
        return loss.item()

    @torch.no_grad()
    def evaluate(self, batch: Batch, seed: int = SEED) -> dict[str, Tensor]:
        """Every metric of every sample."""
        self.model.eval()
        reseed(seed)
        return self.family.evaluate(self.model, batch)


def plan_trial(case: Case, shared: Path, folder: Path, **changes: Any) -> TrialFolder:
    """A trial's folder with the plan of the case's tiny preset in it."""
    preset = case.preset(shared)
    goal = GOALS.get(case.name)
    own = first_point(preset) | preset["recipe"] | (goal.recipe if goal else {})
    return make_plan(
        folder,
        **{
            "family": preset["family"],
            "data": preset["data"],
            "objective": Objective(**preset["objective"]),
            "recipe": own | changes.pop("recipe", {}),
            **changes,
        },
    )


def first_point(preset: dict[str, Any]) -> dict[str, Any]:
    """A value for every key that a preset searches: the first that it tries, or from the middle."""
    point = {key: _middle(searched) for key, searched in preset["search"].items()}
    return point | (preset.get("enqueue") or [{}])[0]


def _middle(searched: dict[str, Any]) -> Any:
    if "choices" in searched:
        return searched["choices"][0]
    low, high = searched["low"], searched["high"]
    middle = math.sqrt(low * high) if searched.get("log") else (low + high) / 2
    whole = isinstance(low, int) and isinstance(high, int)
    return round(middle) if whole else middle


def alone() -> Group:
    """A rank without others."""
    return Group(rank=0, ranks=1, device=torch.device("cpu"))
