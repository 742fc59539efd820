"""Validation: every sample once, on whichever rank, and the mean over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.family import Batch, Family
from worker.ranks.batches import validation_rounds
from worker.ranks.group import Group
from worker.ranks.loading import BatchLoader
from worker.ranks.seeding import mix, reseed
from worker.ranks.stopping import StopAgreed
from worker.ranks.trial import Trial, open_split


class Validator:
    """Judges a model on one split.

    Evaluation is in full precision, so that a checkpoint's metrics do not depend on how it was
    trained. Random numbers are the same in every epoch, so that epochs compare.
    """

    @classmethod
    def of_trial(cls, trial: Trial) -> Validator:
        """The one that judges the trial's epochs; in a rehearsal by one batch of every rank."""
        dataset = open_split(trial.family, "validation")
        loader = BatchLoader(
            dataset,
            seed=trial.plan.seed,
            workers=trial.recipe.loader_workers,
            device=trial.group.device,
        )
        rounds = validation_rounds(len(dataset), trial.sharing)[
            : 1 if trial.plan.rehearsal else None
        ]
        return cls(trial.family, trial.group.replicas, loader, rounds, trial.plan.seed)

    def __init__(
        self,
        family: Family[Any, Any],
        group: Group,
        loader: BatchLoader,
        rounds: list[tuple[int, ...]],
        seed: int,
    ) -> None:
        self._family = family
        self._group = group
        self._loader = loader
        self._rounds = rounds
        self._seed = seed

    @torch.no_grad()
    def metrics(
        self,
        model: nn.Module,
        stop_requested: Callable[[], bool] = lambda: False,
        tick: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """The mean of every metric over all samples of all ranks.

        Raises:
            StopAgreed: a rank saw a request to stop.
        """
        names = sorted(self._family.metrics)
        sums = torch.zeros(len(names) + 1, dtype=torch.float64, device=self._group.device)
        self._group.share_buffers(model)
        model.eval()
        batches = self._loader.batches(0, [indices for indices in self._rounds if indices])
        for indices in self._rounds:
            if indices:
                batch = next(batches)  # first: reading samples in this process seeds as well
                reseed(mix(self._seed, "validation", indices[0]))
                sums += self._sums(model, batch, names, len(indices))
            tick()
            if self._group.any(stop_requested()):
                raise StopAgreed
        *totals, samples = self._group.sum(sums).tolist()
        return {name: total / samples for name, total in zip(names, totals, strict=True)}

    def _sums(self, model: nn.Module, batch: Batch, names: list[str], samples: int) -> Tensor:
        """Every metric summed over the batch, and the number of samples: (metrics + 1,)."""
        found = self._family.evaluate(model, batch)
        for name in names:
            if name not in found or found[name].shape != (samples,):
                shape = tuple(found[name].shape) if name in found else None
                raise ValueError(
                    f"{type(self._family).__name__}.evaluate gave {name!r} with shape {shape}; "
                    f"expected one value for each of the batch's {samples} samples"
                )
        device = self._group.device
        columns = [found[name].to(device, torch.float64) for name in names]
        ones = torch.ones(samples, dtype=torch.float64, device=device)
        return torch.stack([*columns, ones]).sum(dim=1)
