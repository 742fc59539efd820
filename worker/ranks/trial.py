"""Everything about one attempt at a trial that does not change while it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.family import Family, MapDataset, Split
from models.registry import load_family
from protocol.errors import DataError
from protocol.folders import RunFolder, TrialFolder
from protocol.messages import Plan
from protocol.problems import validated
from protocol.recipe import TrainingRecipe
from worker.machine.threads import limit_threads
from worker.ranks.batches import Sharing
from worker.ranks.group import Group
from worker.ranks.seeding import mix


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The plan, opened by one rank."""

    folder: TrialFolder
    plan: Plan  # with folds: this fold's data and seed
    fold: int
    recipe: TrainingRecipe
    family: Family[Any, Any]
    group: Group
    tick: Callable[[], None]  # tells the watchdog of progress

    @property
    def place(self) -> RunFolder:
        """Where checkpoints and histories go."""
        return self.folder.fold(self.fold) if self.plan.folds > 1 else self.folder

    @property
    def is_last_fold(self) -> bool:
        return self.fold == self.plan.folds - 1

    @property
    def sharing(self) -> Sharing:
        return Sharing(
            rank=self.group.replicas.rank,
            ranks=self.group.replicas.ranks,
            batch_size=self.recipe.batch_size,
            accumulation=self.recipe.accumulation,
            reduced=self.plan.micro_batch,
        )


def open_trial(
    folder: TrialFolder, plan: Plan, group: Group, tick: Callable[[], None], fold: int = 0
) -> Trial:
    """The trial of `plan`, or one of its folds, with its settings validated.

    Raises:
        SettingsError: a key or value of the recipe or the data section is wrong.
    """
    if plan.folds > 1:
        plan = _plan_of_fold(plan, fold)
    trial = Trial(
        folder=folder,
        plan=plan,
        fold=fold,
        recipe=plan.recipe.training,
        family=open_family(plan.family, plan.recipe.own, plan.data),
        group=group,
        tick=tick,
    )
    limit_threads(plan.threads)
    return trial


def _plan_of_fold(plan: Plan, fold: int) -> Plan:
    """The same recipe on the fold's subjects, from weights of its own."""
    return plan.model_copy(
        update={"data": {**plan.data, "fold": fold}, "seed": mix(plan.seed, "fold", fold)}
    )


def open_family(name: str, own: dict[str, Any], data: dict[str, Any]) -> Family[Any, Any]:
    """The family called `name` with its `own` keys of a recipe.

    Raises:
        SettingsError: there is no such family, or a key or value is wrong.
    """
    family = load_family(name)
    return family(validated(family.Settings, own, "recipe"), validated(family.Data, data, "data"))


def open_split(family: Family[Any, Any], split: Split) -> MapDataset:
    """The split's samples.

    Raises:
        DataError: there are none, or their files are at fault.
    """
    dataset = family.dataset(split)
    if len(dataset) == 0:
        raise DataError(f"the {split} split has no samples", key="data")
    return dataset
