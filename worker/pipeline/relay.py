"""Forward passes through all stages, one at a time and without gradients.

The first stage drives: whatever calls the model there gets its output, and the other stages serve
until they are told the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.pipelined import Carry
from worker.pipeline.exchange import receive, send
from worker.pipeline.handover import Shelf
from worker.pipeline.part import Part
from worker.ranks.group import Group

Shapes = tuple[tuple[tuple[int, ...], torch.dtype], ...]


def shapes(carry: Carry) -> Shapes:
    """Shape and type of every tensor."""
    return tuple((tuple(tensor.shape), tensor.dtype) for tensor in carry)


@dataclass(frozen=True, kw_only=True)
class Passed:
    """What went into and came out of this stage's two segments."""

    down: tuple[Shapes, Shapes]
    up: tuple[Shapes, Shapes]


class Relay:
    """Passes carries from stage to stage and back."""

    def __init__(self, part: Part, chain: Group) -> None:
        self.part = part
        self._chain = chain

    @torch.no_grad()
    def lead(self, inputs: Carry, *, training: bool) -> tuple[Carry, Passed]:
        """On the first stage: the model's output for `inputs`, and the shapes on the way."""
        return self._pass(inputs, training)

    @torch.no_grad()
    def follow(self) -> Passed | None:
        """On the other stages: help with one pass; None once the end has been told."""
        word = receive(self._chain, self._chain.rank - 1)
        if word is None:
            self.end()
            return None
        carry, training = word
        return self._pass(carry, training)[1]

    def end(self) -> None:
        """Tell the stages that follow that no pass does."""
        if self._chain.rank + 1 < self._chain.ranks:
            send(self._chain, None, self._chain.rank + 1)

    def _pass(self, carry: Carry, training: bool) -> tuple[Carry, Passed]:
        chain, hand = self._chain, Shelf().hand(0)
        self.part.train(training)
        outward = self.part.down(carry, hand)
        if chain.rank + 1 < chain.ranks:
            send(chain, (outward, training), chain.rank + 1)
            inward = receive(chain, chain.rank + 1)
        else:
            inward = outward
        result = self.part.up(inward, hand)
        passed = Passed(down=(shapes(carry), shapes(outward)), up=(shapes(inward), shapes(result)))
        if chain.rank > 0:
            send(chain, result, chain.rank - 1)
        return result, passed


class Proxy(nn.Module):
    """Stands for the whole model on the first stage; its parameters are that stage's."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self.part = relay.part
        self._relay = relay

    def forward(self, *inputs: Tensor) -> Tensor:
        """The model's output, without gradients."""
        return self._relay.lead(inputs, training=self.training)[0][0]


def serve(relay: Relay, tick: Callable[[], Any]) -> None:
    """Help with every pass until the end is told."""
    while relay.follow() is not None:
        tick()
