"""One stage's part of a model, under the names that its tensors have in the whole model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from models.family import Family
from models.pipelined import PipelinedFamily, Segment
from protocol.errors import SettingsError
from worker.pipeline.orders import stage_of


class Part(nn.Module):
    """The two segments of one stage; a copy of it has the same names."""

    def __init__(self, model: nn.Module, segments: Sequence[Segment], stage: int) -> None:
        super().__init__()
        self.stage = stage
        self.stages = len(segments) // 2
        self.down = segments[stage]
        self.up = segments[len(segments) - 1 - stage]
        own = {id(tensor): key for key, tensor in self.state_dict(keep_vars=True).items()}
        whole = model.state_dict(keep_vars=True)
        self.keys = list(whole)  # of the whole model
        self._own = {key: own[id(value)] for key, value in whole.items() if id(value) in own}
        mine = {id(parameter) for parameter in self.parameters()}
        trained = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        self.trained = [name for name, _ in trained]  # of the whole model, in its order
        self.parameter_count = sum(parameter.numel() for _, parameter in trained)
        self._trained_here = [name for name, parameter in trained if id(parameter) in mine]

    def named_trained(self) -> list[tuple[str, nn.Parameter]]:
        """The trainable parameters that are here, in the whole model's order."""
        here = self.state_dict(keep_vars=True)
        return [(name, here[self._own[name]]) for name in self._trained_here]

    def unsplit_state(self) -> dict[str, Tensor]:
        """What the whole model's `state_dict` has of this part."""
        here = self.state_dict()
        return {key: here[own] for key, own in self._own.items()}

    def load_unsplit(self, state: dict[str, Tensor]) -> None:
        """Take this part out of a whole model's `state_dict`."""
        self.load_state_dict({own: state[key] for key, own in self._own.items()}, strict=False)


def cut(family: Family[Any, Any], model: nn.Module, stages: int) -> Sequence[Segment]:
    """The model's segments for `stages` devices, two each.

    Raises:
        SettingsError: the family's models cannot be cut, or not into as many.
        ValueError: the family leaves out a tensor, or puts one on two devices.
    """
    if not isinstance(family, PipelinedFamily):
        raise SettingsError(
            f"the models of {type(family).__name__} cannot be cut into stages; "
            "expected kind: ddp, or a family that derives from models.pipelined.PipelinedFamily",
            key="parallel.kind",
        )
    segments = family.segments(model, stages)
    if len(segments) != 2 * stages:
        raise ValueError(f"segments() gave {len(segments)} for {stages} stages, not {2 * stages}")
    homes: dict[int, set[int]] = {}
    for number, segment in enumerate(segments):
        for tensor in (*segment.parameters(), *segment.buffers()):
            homes.setdefault(id(tensor), set()).add(stage_of(number, stages))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found = sorted(homes.get(id(tensor), ()))
        if len(found) != 1:
            raise ValueError(f"{name} is on the stages {found} of {stages}; expected exactly one")
    return segments
