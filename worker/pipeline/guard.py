"""The guarded loss of a model that is cut into stages: its gradients, and one verdict on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import get_total_norm

from models.family import Batch
from models.pipelined import PipelinedFamily, Prepared
from worker.pipeline.engine import Engine
from worker.pipeline.part import Part
from worker.ranks.batches import Step
from worker.ranks.guard import PRECISIONS, StepVerdict, Terms, Wishes, total
from worker.ranks.seeding import mix, reseed
from worker.ranks.trial import Trial

_BUCKET = 2**23  # numbers that are averaged over the replicas at a time


class StageGuard:
    """This stage's gradients of a global batch, and what all ranks agree on before the step."""

    def __init__(self, trial: Trial, part: Part) -> None:
        family = trial.family
        assert isinstance(family, PipelinedFamily)
        self._family: PipelinedFamily[Any, Any] = family
        self._trial = trial
        self._part = part
        self._place: tuple[int, ...] = ()
        self._wishes = Wishes()
        self._losses: list[Tensor] = []
        kind = trial.plan.schedule
        assert kind != "device_map"
        self._engine = Engine(
            part, trial.group.chain, kind, autocast=self._autocast, begin=self._begin
        )

    def forget_gradients(self) -> None:
        """Drop every gradient."""
        self._part.zero_grad(set_to_none=True)

    def accumulate(
        self,
        epoch: int,
        scaler: torch.amp.GradScaler,
        step: Step,
        batches: Iterator[Batch],
        wishes: Wishes,
    ) -> list[Terms]:
        """Add up the global batch's gradients; on the first stage the micro-batches' loss terms."""
        self._wishes = wishes
        self._place = (self._trial.group.replicas.rank, epoch, step.seen)
        self._losses = []
        history: list[Terms] = []
        if not self._trial.group.leads:
            # Scaling something makes the scaler ready to unscale.
            scaler.scale(torch.zeros((), device=self._trial.group.device))
            self._engine.run((), None)
            self._average()
            return history
        prepared = [self._prepared(next(batches), number) for number in _numbers(step)]

        def loss(output: Tensor, number: int) -> Tensor:
            with self._autocast():
                terms = self._family.terms(output, prepared[number].targets)
            whole = total(terms)
            self._losses.append(whole.detach())
            history.append({name: term.detach() for name, term in terms.items()})
            scaled: Tensor = scaler.scale(step.micro_batches[number].weight * whole)
            return scaled

        self._engine.run([each.inputs for each in prepared], loss)
        self._average()
        return history

    def judge(self, gradients: Sequence[Tensor]) -> tuple[Tensor, StepVerdict]:
        """The whole gradient's norm, and the verdict, the same on all ranks.

        Each rank adds its part's squared norm and its flags in one exchange of a few numbers.
        """
        group = self._trial.group
        own = get_total_norm(gradients).to(group.device).double()
        flags = torch.zeros(3, group.ranks, dtype=torch.float64, device=group.device)
        lost = [~torch.isfinite(loss) for loss in self._losses]
        if lost:
            flags[0, group.rank] = torch.stack(lost).any()
        flags[1, group.rank] = self._engine.broken()
        flags[2, group.rank] = ~torch.isfinite(own)
        wishes = [float(self._wishes.stop), float(self._wishes.save)]
        words = torch.tensor(wishes, dtype=torch.float64, device=group.device)
        # The replicas hold the same gradients, so each square comes as often as there are replicas.
        square = own.square().reshape(1) / group.replicas.ranks
        found = group.sum(torch.cat([square, words, flags.flatten()])).tolist()
        losses, breaks, bad = (
            [rank for rank in range(group.ranks) if found[3 + row * group.ranks + rank] > 0]
            for row in range(3)
        )
        verdict = StepVerdict(
            norm=math.sqrt(found[0]) if found[0] >= 0 else math.nan,
            stop=found[1] > 0,
            save=found[2] > 0,
            nonfinite_ranks=(breaks or losses) if losses else [],
            gradient_ranks=bad,
        )
        return torch.tensor(verdict.norm, device=group.device), verdict

    def arrival(self) -> list[str]:
        """Nothing: gradients are averaged one after the other as the model has them."""
        return []

    def follow(self, arrival: list[str]) -> None:
        """Nothing to do."""

    def _prepared(self, batch: Batch, number: int) -> Prepared:
        """A micro-batch's inputs and targets, by the seed that an unsplit model would have."""
        reseed(mix(self._trial.plan.seed, "step", *self._place, number + 1))
        return self._family.prepare(batch)

    def _begin(self, segment: int, micro: int) -> None:
        """Before a segment's forward pass: random numbers of its own, such as dropout's."""
        place = (*self._place, micro + 1)
        reseed(mix(self._trial.plan.seed, "step", *place, "segment", segment))
        self._trial.tick()

    def _autocast(self) -> torch.autocast:
        precision = PRECISIONS[self._trial.recipe.precision]
        mixed = precision is not torch.float32
        return torch.autocast(self._trial.group.device.type, dtype=precision, enabled=mixed)

    def _average(self) -> None:
        """The mean of the replicas' gradients of this stage."""
        replicas = self._trial.group.replicas
        if replicas.ranks == 1:
            return
        gradients = [item.grad for item in self._part.parameters() if item.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat, group=replicas.members)
            flat /= replicas.ranks
            for gradient, mean in zip(
                bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True
            ):
                gradient.copy_(mean.view_as(gradient))


def _numbers(step: Step) -> range:
    return range(len(step.micro_batches))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive gradients of one type, together not much above the bucket's size."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(item.numel() for item in bucket) + gradient.numel() > _BUCKET
        if bucket and (full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
