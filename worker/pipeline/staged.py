"""A model that is cut into stages, and its one checkpoint layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from worker.pipeline.exchange import receive, send
from worker.pipeline.part import Part, cut
from worker.ranks.trial import Trial
from worker.state.placement import OptimizerState

_CPU = torch.device("cpu")


class Staged:
    """This stage's part of the model; the first stage of the first replica gathers the whole.

    Every rank builds the whole model on the CPU, so that initial weights are those of an unsplit
    one, and keeps its part: the peak on the host is the whole model, on the device the part.
    """

    def __init__(self, trial: Trial, model: nn.Module) -> None:
        self._group = trial.group
        stages = trial.group.chain.ranks
        part = Part(model, cut(trial.family, model, stages), trial.group.chain.rank)
        self.part = part.to(trial.group.device)
        self.model: nn.Module = self.part
        self.parameter_count = part.parameter_count

    def named_trained(self) -> list[tuple[str, nn.Parameter]]:
        return self.part.named_trained()

    def runner(self, model: nn.Module) -> nn.Module:
        raise TypeError("a stage cannot run the model by itself")

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        found = self._gathered(_part(model).unsplit_state())
        merged = {key: value for part in found for key, value in part.items()}
        return {key: merged[key] for key in self.part.keys if key in merged}

    def load(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        _part(model).load_unsplit(weights)

    def optimizer_state(self, optimizer: Optimizer) -> OptimizerState:
        own = optimizer.state_dict()
        places = self._places()
        states = self._gathered({places[index]: state for index, state in own["state"].items()})
        merged = {index: state for part in states for index, state in part.items()}
        (settings,) = own["param_groups"]
        every = list(range(len(self.part.trained)))
        return {
            "state": {index: merged[index] for index in sorted(merged)},
            "param_groups": [settings | {"params": every}],
        }

    def load_optimizer(self, optimizer: Optimizer, state: OptimizerState) -> None:
        places = self._places()
        (settings,) = state["param_groups"]
        own = {
            index: state["state"][place]
            for index, place in enumerate(places)
            if place in state["state"]
        }
        group = settings | {"params": list(range(len(places)))}
        optimizer.load_state_dict({"state": own, "param_groups": [group]})

    def _places(self) -> list[int]:
        """Where each of this part's parameters stands among the whole model's."""
        places = {name: place for place, name in enumerate(self.part.trained)}
        return [places[name] for name, _ in self.named_trained()]

    def _gathered(self, own: dict[Any, Any]) -> list[dict[Any, Any]]:
        """Every stage's dictionary, on rank 0; elsewhere this one's alone."""
        chain = self._group.chain
        if self._group.replicas.rank > 0:
            return [own]  # the same as the first replica's
        if chain.rank > 0:
            send(chain, own, 0)
            return [own]
        return [own, *(receive(chain, stage, _CPU) for stage in range(1, chain.ranks))]


def _part(model: nn.Module) -> Part:
    assert isinstance(model, Part)
    return model
