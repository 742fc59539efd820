"""Micro-batches through all stages and back, by torch's pipelining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.pipelining.schedules import (
    _Action,
    _ComputationType,
    _PipelineScheduleRuntime,
)

from models.pipelined import Carry
from worker.pipeline.handover import Shelf
from worker.pipeline.orders import ScheduleKind, Work, orders
from worker.pipeline.part import Part
from worker.pipeline.relay import Passed, Relay, Shapes, shapes
from worker.pipeline.stage import Begin, Stage, StageSegment
from worker.ranks.group import Group

Loss = Callable[[Tensor, int], Tensor]  # of the model's output and the micro-batch's number
_DIRECTIONS = {
    "forward": _ComputationType.FORWARD,
    "backward": _ComputationType.FULL_BACKWARD,
}


class Engine:
    """One stage's share of training steps; all stages call the same methods together."""

    def __init__(
        self,
        part: Part,
        chain: Group,
        kind: ScheduleKind,
        *,
        autocast: Callable[[], torch.autocast],
        begin: Begin,
    ) -> None:
        self._part = part
        self._chain = chain
        self._kind = kind
        self._relay = Relay(part, chain)
        self._autocast = autocast
        self._shelf = Shelf()
        last = 2 * part.stages - 1
        self._segments = [
            StageSegment(
                segment,
                self._shelf,
                number=number,
                first_half=number <= last - number,
                autocast=autocast,
                begin=begin,
            )
            for number, segment in ((part.stage, part.down), (last - part.stage, part.up))
        ]
        self._passed: dict[Shapes, Passed] = {}
        self._runtimes: dict[tuple[Shapes, ...], _PipelineScheduleRuntime] = {}
        self._loss: Loss | None = None

    def run(self, inputs: Sequence[Carry], loss: Loss | None) -> None:
        """Add every micro-batch's gradient to the parameters'.

        Args:
            inputs: the model's, for each micro-batch; on other stages than the first nothing.
            loss: on the first stage, which also holds the last segment.
        """
        asked = self._chain.from_first(tuple(shapes(carry) for carry in inputs))
        for number, shape in enumerate(asked):
            if shape not in self._passed:
                self._passed[shape] = self._try(inputs[number] if inputs else ())
        if asked not in self._runtimes:
            self._runtimes[asked] = self._runtime([self._passed[shape] for shape in asked])
        self._loss = loss
        try:
            self._step(self._runtimes[asked], inputs)
        finally:
            self._loss = None
            self._shelf.clear()

    def broken(self) -> Tensor:
        """Whether a segment here made non-finite numbers out of finite ones: ()."""
        found = [segment.take_broken() for segment in self._segments]
        none = torch.zeros((), dtype=torch.bool, device=self._chain.device)
        return torch.stack([none if flag is None else flag for flag in found]).any()

    def _step(self, runtime: _PipelineScheduleRuntime, inputs: Sequence[Carry]) -> None:
        try:
            if self._chain.first:
                runtime.step(
                    arg_mbs=list(inputs),
                    target_mbs=list(range(len(inputs))),
                    return_outputs=False,
                )
            else:
                runtime.step(return_outputs=False)
        except RuntimeError as error:
            raise _cause(error) from None

    def _try(self, inputs: Carry) -> Passed:
        """Find out the shapes on the way by one forward pass, which leaves no trace."""
        buffers = [(buffer, buffer.clone()) for buffer in self._part.buffers()]
        with self._autocast():
            if self._chain.first:
                passed = self._relay.lead(inputs, training=True)[1]
            else:
                found = self._relay.follow()
                assert found is not None
                passed = found
        for buffer, before in buffers:
            buffer.copy_(before)
        return passed

    def _runtime(self, passed: Sequence[Passed]) -> _PipelineScheduleRuntime:
        stages = self._part.stages
        down, up = self._segments
        here = [
            Stage(
                segment,
                segment.number,
                2 * stages,
                self._chain,
                [shape[0] for shape in ways],
                [shape[1] for shape in ways],
            )
            for segment, ways in (
                (down, [each.down for each in passed]),
                (up, [each.up for each in passed]),
            )
        ]
        runtime = _PipelineScheduleRuntime(
            here,
            n_microbatches=len(passed),
            loss_fn=lambda output, number: self._judge(output, number),
            scale_grads=False,
        )
        order = orders(self._kind, stages, len(passed))
        runtime._prepare_schedule_with_comms(
            {stage: [_action(work) for work in works] for stage, works in order.items()}
        )
        return runtime

    def _judge(self, output: Carry, number: int) -> Tensor:
        assert self._loss is not None
        return self._loss(output[0], number)


def _action(work: Work) -> Any:
    return _Action(work.segment, _DIRECTIONS[work.direction], work.micro)


def _cause(error: BaseException) -> BaseException:
    """What a segment raised, without the wrapping that torch's pipelining puts around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
