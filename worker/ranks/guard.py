"""A model with a loss that also carries word between ranks, in the gradients' own all-reduce.

The backward pass hands the flags to the extra parameter `signal` as its gradient, which is summed
over ranks and micro-batches together with every other one: no synchronisation is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from models.family import Batch, Family
from protocol.recipe import TrainingRecipe
from worker.ranks.batches import Step
from worker.ranks.group import Group
from worker.ranks.seeding import mix, reseed

Terms = dict[str, Tensor]

_STOP, _SAVE, _FIRST_RANK = 0, 1, 2  # places in the signal
PRECISIONS = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a rank wants all ranks to do after this step."""

    stop: bool = False
    save: bool = False


@dataclass(frozen=True, kw_only=True)
class StepVerdict:
    """What all ranks know after the backward pass, the same on each."""

    norm: float  # of the whole gradient, before clipping
    stop: bool
    save: bool
    nonfinite_ranks: list[int]  # whose own loss was not finite; or whose layers made it so
    # Of a model cut into stages: whose part of the gradient is not finite.
    gradient_ranks: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, norm: Tensor, signal: Tensor) -> StepVerdict:
        """Take both to the host, the one time in a step that it waits for the device."""
        values = torch.cat([norm.float().reshape(1), signal.float()]).tolist()
        flags = values[1:]
        return cls(
            norm=values[0],
            stop=flags[_STOP] > 0,
            save=flags[_SAVE] > 0,
            nonfinite_ranks=[rank for rank, flag in enumerate(flags[_FIRST_RANK:]) if flag > 0],
        )


class GuardedLoss(nn.Module):
    """The family's loss of one micro-batch, with the signal's gradient beside it."""

    def __init__(
        self, family: Family[Any, Any], model: nn.Module, recipe: TrainingRecipe, group: Group
    ) -> None:
        super().__init__()
        self.model = model
        self.signal = nn.Parameter(torch.zeros(_FIRST_RANK + group.ranks, device=group.device))
        self._family = family
        self._group = group
        self._precision = PRECISIONS[recipe.precision]
        self._own_place = torch.zeros_like(self.signal, requires_grad=False)
        self._own_place[_FIRST_RANK + group.rank] = 1.0

    def forward(
        self, batch: Batch, weight: float, wishes: Wishes
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The weighted loss, the signal's gradient and the detached loss terms."""
        with self._autocast():
            terms = self._family.losses(self.model, batch)
        loss = total(terms)
        flags = self._own_place * ~torch.isfinite(loss.detach())
        if wishes.stop or wishes.save:
            flags[_STOP], flags[_SAVE] = float(wishes.stop), float(wishes.save)
        return weight * loss, flags, {name: term.detach() for name, term in terms.items()}

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._precision is torch.float32:
            return nullcontext()
        return torch.autocast(self._group.device.type, dtype=self._precision)


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients together, on the first one's device.

    torch sorts them by device and type first, which takes longer than the norms of a small model.
    """
    if len({(gradient.device, gradient.dtype) for gradient in gradients}) != 1:
        return get_total_norm(gradients)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))


def total(terms: Terms) -> Tensor:
    """The loss that is the terms' sum: (), float32."""
    if len(terms) == 1:
        (term,) = terms.values()
        return term.float()
    return torch.stack([term.float() for term in terms.values()]).sum()


def _silent() -> None:
    pass


class Guard(Protocol):
    """The gradients of a global batch, and one verdict on them that all ranks share."""

    def forget_gradients(self) -> None:
        """Drop every gradient."""

    def accumulate(
        self,
        epoch: int,
        scaler: torch.amp.GradScaler,
        step: Step,
        batches: Iterator[Batch],
        wishes: Wishes,
    ) -> list[Terms]:
        """Add up the global batch's gradients; the loss terms of this rank's micro-batches.

        Of a model that is cut into stages only the first one sees the loss.
        """
        ...

    def judge(self, gradients: Sequence[Tensor]) -> tuple[Tensor, StepVerdict]:
        """The whole gradient's norm on the device, before clipping, and the verdict."""
        ...

    def arrival(self) -> list[str]:
        """What decides in which order ranks add gradients up, for a checkpoint; may be empty."""
        ...

    def follow(self, arrival: list[str]) -> None:
        """Go on as an attempt did whose `arrival` this was; before the first step."""
        ...


class ReplicaGuard:
    """Of a model that is whole on every rank: data-parallel where there are several.

    Ranks add gradients up in buckets, and where in a bucket a number lies decides in which order
    three ranks or more add it. Torch lays the buckets anew after an attempt's first step, in the
    order in which that step's gradients came: this order is therefore a part of the trial's state.

    Args:
        seed: of the trial.
        tick: called at every sign of progress.
    """

    def __init__(
        self, loss: GuardedLoss, group: Group, seed: int = 0, tick: Callable[[], None] = _silent
    ) -> None:
        self._loss = loss
        self._group = group
        self._seed = seed
        self._tick = tick
        self._parallel: DistributedDataParallel | None = None
        self._arrival: list[str] = []
        self._parameters = list(loss.parameters())

    @property
    def signal(self) -> Tensor:
        """The signal's gradient: flags, summed over micro-batches and averaged over ranks."""
        assert self._loss.signal.grad is not None
        return self._loss.signal.grad

    def __call__(
        self, batch: Batch, weight: float, wishes: Wishes
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        return (self._joined() or self._loss)(batch, weight, wishes)

    def backward(self, loss: Tensor, flags: Tensor) -> None:
        """Add the loss's gradients to the parameters', and the flags to the signal's."""
        torch.autograd.backward([loss, self._loss.signal], [None, flags])

    def forget_gradients(self) -> None:
        """Drop every gradient, the signal's included."""
        for parameter in self._parameters:
            parameter.grad = None

    def accumulate(
        self,
        epoch: int,
        scaler: torch.amp.GradScaler,
        step: Step,
        batches: Iterator[Batch],
        wishes: Wishes,
    ) -> list[Terms]:
        """Add up the global batch's gradients; the loss terms of this rank's micro-batches."""
        history = []
        for number, micro in enumerate(step.micro_batches, start=1):
            batch = next(batches)
            reseed(mix(self._seed, "step", self._group.rank, epoch, step.seen, number))
            with self.accumulating(more=number < len(step.micro_batches)):
                loss, flags, terms = self(batch, micro.weight, wishes)
                self.backward(scaler.scale(loss), flags)
            history.append(terms)
            self._tick()
        return history

    def judge(self, gradients: Sequence[Tensor]) -> tuple[Tensor, StepVerdict]:
        """The whole gradient's norm, before clipping, and what all ranks know now."""
        norm = total_norm(gradients)
        return norm, StepVerdict.read(norm.to(self._group.device), self.signal)

    @contextmanager
    def accumulating(self, more: bool) -> Iterator[None]:
        """Exchange gradients in this backward pass only if no `more` micro-batches follow."""
        parallel = self._joined()
        if parallel is not None and more:
            with parallel.no_sync():
                yield
        elif parallel is not None and not self._arrival:
            with self._watching() as came:
                yield
            self._arrival = came
        else:
            yield

    def arrival(self) -> list[str]:
        """The names of the parameters in the order in which their first gradients came."""
        return self._arrival

    def follow(self, arrival: list[str]) -> None:
        """Lay the buckets as they were after the trial's first step; before this one's."""
        assert self._parallel is None
        if set(arrival) == self._trained().keys():
            self._arrival = arrival

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: item for name, item in self._loss.named_parameters() if item.requires_grad}

    def _joined(self) -> DistributedDataParallel | None:
        """The loss in parallel with the other ranks', if any; not before the order is known."""
        if self._group.ranks > 1 and self._parallel is None:
            _leave_constants_alone(self._loss)
            trained = self._trained()
            self._parallel = _Buckets(self._loss, [trained[name] for name in self._arrival])
        return self._parallel

    @contextmanager
    def _watching(self) -> Iterator[list[str]]:
        """Collects the names of parameters as their gradients come."""
        came: list[str] = []

        def note(name: str) -> Callable[[Tensor], None]:
            return lambda _: came.append(name)

        handles = [
            parameter.register_post_accumulate_grad_hook(note(name))
            for name, parameter in self._trained().items()
        ]
        try:
            yield came
        finally:
            for handle in handles:
                handle.remove()


class _Buckets(DistributedDataParallel):
    """Lays its buckets at once where it is known in which order gradients come.

    Args:
        order: all the trained parameters; without them torch finds out in the first step, which it
            takes with all gradients in one bucket.
    """

    def __init__(self, loss: nn.Module, order: list[nn.Parameter]) -> None:
        self._order = order
        super().__init__(loss, gradient_as_bucket_view=True)
        if order:
            self.reducer._push_all_rebuilt_params()
            self.reducer._rebuild_buckets()

    def _build_params_for_reducer(self) -> tuple[list[nn.Parameter], list[bool]]:
        parameters, sparse = super()._build_params_for_reducer()
        if not self._order:
            return parameters, sparse
        kinds = {id(item): kind for item, kind in zip(parameters, sparse, strict=True)}
        return self._order, [kinds[id(item)] for item in self._order]


def _leave_constants_alone(loss: nn.Module) -> None:
    """Non-persistent buffers are recomputed alike on every rank: spare sending them each step."""
    kept = loss.state_dict(keep_vars=True)
    constants = [name for name, _ in loss.named_buffers() if name not in kept]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(loss, constants)
