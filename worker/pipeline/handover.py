"""What a segment leaves for its partner on the same stage, and its gradient on the way back.

The two halves of a stage are separate autograd graphs, because torch's pipelining runs their
backward passes at different times. What crosses from the first to the second half is therefore cut
off: the second half works on a leaf, whose gradient the first half's backward pass takes up.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.pipelined import Carry

_Leaves = list[Tensor]


class Shelf:
    """What lies between the halves of one stage, for every micro-batch under way."""

    def __init__(self) -> None:
        self._left: dict[tuple[int, str], Tensor] = {}

    def hand(self, micro: int) -> Hand:
        """The access of one micro-batch; each half's pass gets its own."""
        return Hand(self._left, micro)

    def clear(self) -> None:
        self._left.clear()


class Hand:
    """`models.pipelined.Kept` of one pass of one micro-batch."""

    def __init__(self, left: dict[tuple[int, str], Tensor], micro: int) -> None:
        self._left = left
        self._micro = micro
        self._cut: list[tuple[Tensor, Tensor]] = []  # each value with the leaf in its place

    def put(self, name: str, value: Tensor) -> None:
        """Leave `value` for the partner.

        Raises:
            ValueError: there is something under that name already.
        """
        if (self._micro, name) in self._left:
            raise ValueError(f"a segment kept {name!r} twice in one pass; expected once")
        if torch.is_grad_enabled() and value.requires_grad:
            leaf = value.detach().requires_grad_()
            self._cut.append((value, leaf))
            value = leaf
        self._left[self._micro, name] = value

    def take(self, name: str) -> Tensor:
        """What the partner left.

        Raises:
            ValueError: there is nothing under that name.
        """
        if (self._micro, name) not in self._left:
            names = sorted(left for micro, left in self._left if micro == self._micro)
            raise ValueError(f"a segment takes {name!r}, but its partner kept {names}")
        return self._left.pop((self._micro, name))

    def joined(self, carry: Carry) -> Carry:
        """`carry`, through whose backward pass the leaves' gradients reach the values put."""
        if not self._cut:
            return carry
        values, leaves = zip(*self._cut, strict=True)
        return _Join.apply(list(leaves), len(carry), *carry, *values)


class _Join(torch.autograd.Function):
    """The identity on a carry, which also hands over gradients found elsewhere meanwhile."""

    @staticmethod
    def forward(ctx: Any, leaves: _Leaves, count: int, *tensors: Tensor) -> Carry:
        ctx.leaves = leaves
        carry = tuple(tensor.view_as(tensor) for tensor in tensors[:count])
        ctx.mark_non_differentiable(*(item for item in carry if not item.is_floating_point()))
        return carry

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        found = [leaf.grad for leaf in ctx.leaves]
        for leaf in ctx.leaves:
            leaf.grad = None
        return (None, None, *gradients, *found)
