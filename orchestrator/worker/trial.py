"""Everything about one attempt at a trial that does not change while it trains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from models.family import Family, MapDataset, Split, load_family
from orchestrator.errors import DataError
from orchestrator.messages import Plan
from orchestrator.recipe import TrainingRecipe, split_recipe
from orchestrator.trial_folder import TrialFolder
from orchestrator.worker.batches import Sharing
from orchestrator.worker.group import Group
from orchestrator.worker.problems import validated


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The plan, opened by one rank."""

    folder: TrialFolder
    plan: Plan
    recipe: TrainingRecipe
    family: Family[Any, Any]
    group: Group
    tick: Callable[[], None]  # tells the watchdog of progress

    @property
    def sharing(self) -> Sharing:
        return Sharing(
            rank=self.group.rank,
            ranks=self.group.ranks,
            batch_size=self.recipe.batch_size,
            accumulation=self.recipe.accumulation,
        )


def open_trial(folder: TrialFolder, plan: Plan, group: Group, tick: Callable[[], None]) -> Trial:
    """The trial of `plan`, with its settings validated.

    Raises:
        SettingsError: a key or value of the recipe or the data section is wrong.
    """
    training, _ = split_recipe(plan.recipe)
    trial = Trial(
        folder=folder,
        plan=plan,
        recipe=validated(TrainingRecipe, training, "recipe"),
        family=open_family(plan.family, plan.recipe, plan.data),
        group=group,
        tick=tick,
    )
    limit_threads(plan.threads)
    return trial


def open_family(name: str, recipe: dict[str, Any], data: dict[str, Any]) -> Family[Any, Any]:
    """The family called `name` with its keys of a flat `recipe`.

    Raises:
        SettingsError: there is no such family, or a key or value is wrong.
    """
    family = load_family(name)
    _, own = split_recipe(recipe)
    return family(validated(family.Settings, own, "recipe"), validated(family.Data, data, "data"))


def open_split(family: Family[Any, Any], split: Split) -> MapDataset:
    """The split's samples.

    Raises:
        DataError: there are none, or their files are at fault.
    """
    dataset = family.dataset(split)
    if len(dataset) == 0:
        raise DataError(f"data: the {split} split has no samples")
    return dataset


def limit_threads(threads: int) -> None:
    """Keep this process's numerical libraries to its share of the cores."""
    torch.set_num_threads(threads)
    numba = sys.modules.get("numba")  # only where the family brought it
    if numba is not None:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
