"""One process that spreads a model over several devices: no overlap, but nothing to exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.family import Family
from models.pipelined import Segment
from worker.pipeline.orders import stage_of
from worker.pipeline.part import cut
from worker.state.placement import Whole


class Mapped(Whole):
    """A model whose segments lie on the devices of a list, folded as stages are."""

    def __init__(self, family: Family[Any, Any], model: nn.Module, devices: Sequence[str]) -> None:
        self._family = family
        self._devices = [torch.device(device) for device in devices]
        self.runner(model)
        super().__init__(model)

    def runner(self, model: nn.Module) -> nn.Module:
        return DeviceMap(model, cut(self._family, model, len(self._devices)), self._devices)


class DeviceMap(nn.Module):
    """Runs a model segment by segment, each on its device; the result is on the first one."""

    def __init__(
        self, model: nn.Module, segments: Sequence[Segment], devices: Sequence[torch.device]
    ) -> None:
        super().__init__()
        self.model = model
        stages = len(devices)
        self._steps = [
            (segment.to(devices[stage_of(number, stages)]), stage_of(number, stages))
            for number, segment in enumerate(segments)
        ]
        self._devices = devices
        self.train(model.training)

    def train(self, mode: bool = True) -> DeviceMap:
        """The segments have a mode of their own beside that of the model's layers."""
        super().train(mode)
        for segment, _ in self._steps:
            segment.train(mode)
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        kept = [_Kept() for _ in self._devices]
        carry = inputs
        for segment, stage in self._steps:
            device = self._devices[stage]
            carry = segment(tuple(tensor.to(device) for tensor in carry), kept[stage])
        return carry[0]


class _Kept:
    """`models.pipelined.Kept` within one graph."""

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}

    def put(self, name: str, value: Tensor) -> None:
        self._values[name] = value

    def take(self, name: str) -> Tensor:
        return self._values.pop(name)
