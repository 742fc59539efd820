"""A segment as a stage of torch's pipelining.

Imported only where a model is cut: torch.distributed.pipelining takes its time to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.stage import PipelineStageInfo

from models.pipelined import Carry, Segment
from worker.pipeline.handover import Shelf
from worker.pipeline.relay import Shapes
from worker.ranks.group import Group

Begin = Callable[[int, int], None]  # told segment and micro-batch before each forward pass


class StageSegment(nn.Module):
    """A segment, called with a carry's tensors one by one, that knows its micro-batch."""

    def __init__(
        self,
        segment: Segment,
        shelf: Shelf,
        *,
        number: int,
        first_half: bool,
        autocast: Callable[[], torch.autocast],
        begin: Begin,
    ) -> None:
        super().__init__()
        self.segment = segment
        self.number = number  # of the segment in the chain
        self._shelf = shelf
        self._first_half = first_half
        self._autocast = autocast
        self._begin = begin
        self._micro = 0
        self._broken: Tensor | None = None

    def forward(self, *carry: Tensor) -> Carry:
        """What the next segment is called with, contiguous as sending wants it."""
        self._begin(self.number, self._micro)
        hand = self._shelf.hand(self._micro)
        with self._autocast():
            outward = self.segment(carry, hand)
        broken = _finite(carry) & ~_finite(outward)
        self._broken = broken if self._broken is None else self._broken | broken
        outward = tuple(tensor.contiguous() for tensor in outward)
        return hand.joined(outward) if self._first_half else outward

    def take_broken(self) -> Tensor | None:
        """Whether a pass since the last call made non-finite numbers out of finite ones: ()."""
        found, self._broken = self._broken, None
        return found

    @contextmanager
    def numbered(self, info: PipelineStageInfo) -> Iterator[None]:
        """Tells the micro-batch of the pass within."""
        self._micro = info.microbatch_index
        yield


@torch.no_grad()
def _finite(carry: Carry) -> Tensor:
    return torch.stack([tensor.isfinite().all() for tensor in carry]).all()


class Stage(PipelineStage):
    """One whose micro-batches may differ in shape, and whose gradients are never missing.

    The base class takes all micro-batches to be shaped like the first one.
    """

    def __init__(
        self,
        segment: StageSegment,
        number: int,
        count: int,
        chain: Group,
        inward: Sequence[Shapes],
        outward: Sequence[Shapes],
    ) -> None:
        """`inward` and `outward`: the shapes of every micro-batch's carry."""
        super().__init__(
            segment,
            number,
            count,
            chain.device,
            input_args=_examples(inward[0], trained=number > 0),
            output_args=_examples(outward[0], trained=True),
            group=chain.members,
        )
        self._inward = inward
        self._outward = outward
        self.register_forward_context(segment.numbered)

    def _setup_forward_recv_info(self, num_microbatches: int, has_backward: bool) -> None:
        super()._setup_forward_recv_info(num_microbatches, has_backward)
        for number, shapes in enumerate(self._inward):
            _reshape(self.args_recv_info[number], shapes)

    def _setup_backward_recv_info(self, num_microbatches: int) -> None:
        super()._setup_backward_recv_info(num_microbatches)
        for number, shapes in enumerate(self._outward if not self.is_last else ()):
            _reshape(self.grad_recv_info[number], shapes)

    def backward_one_chunk(
        self,
        bwd_chunk_id: int,
        loss: Tensor | None = None,
        full_backward: bool = True,
        last_backward: bool = False,
    ) -> None:
        super().backward_one_chunk(bwd_chunk_id, loss, full_backward, last_backward)
        if self.is_first:
            return
        self.bwd_cache[bwd_chunk_id] = tuple(
            self._gradient(gradient, shape, dtype)
            for gradient, (shape, dtype) in zip(
                self.bwd_cache[bwd_chunk_id], self._inward[bwd_chunk_id], strict=True
            )
        )

    def _gradient(
        self, gradient: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor | None:
        """What is sent back: contiguous, and zero for an input that had no influence."""
        if gradient is not None:
            return gradient.contiguous()
        if not dtype.is_floating_point:
            return None
        return torch.zeros(shape, dtype=dtype, device=self.device)


def _examples(shapes: Shapes, *, trained: bool) -> tuple[Tensor, ...]:
    """Tensors without content that show shape, type and whether gradients are wanted."""
    return tuple(
        torch.empty(
            shape, dtype=dtype, device="meta", requires_grad=trained and dtype.is_floating_point
        )
        for shape, dtype in shapes
    )


def _reshape(descriptors: Sequence[Any], shapes: Shapes) -> None:
    """Let each tensor to be received have its own micro-batch's shape."""
    for descriptor, (shape, _) in zip(descriptors, shapes, strict=True):
        meta = descriptor.tensor_meta
        if meta is not None:
            size = torch.Size(shape)
            stride = torch.empty(size, device="meta").stride()
            descriptor.tensor_meta = replace(meta, shape=size, stride=stride)
