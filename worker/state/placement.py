"""Where a trial's model lies: whole on one device, over a map of devices, or cut into stages."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

OptimizerState = dict[str, Any]


class Placement(Protocol):
    """Keeps checkpoints the same, whatever holds the model: the whole model's names and order."""

    model: nn.Module  # what this rank trains of it
    parameter_count: int  # trainable, of the whole model

    def named_trained(self) -> list[tuple[str, nn.Parameter]]:
        """The trainable parameters here, by their names in the whole model."""

    def runner(self, model: nn.Module) -> nn.Module:
        """What to call in order to run `model`, which is `self.model` or a copy of it."""

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The whole model's weights on rank 0; to be called by all ranks."""

    def load(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        """Take what is here out of the whole model's weights."""

    def optimizer_state(self, optimizer: Optimizer) -> OptimizerState:
        """The whole model's optimiser state on rank 0; to be called by all ranks."""

    def load_optimizer(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Take what is here out of the whole model's optimiser state."""


class Whole:
    """A model on one device, the same on all ranks."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._trained = [item for item in model.named_parameters() if item[1].requires_grad]
        self.parameter_count = sum(parameter.numel() for _, parameter in self._trained)

    def named_trained(self) -> list[tuple[str, nn.Parameter]]:
        return self._trained

    def runner(self, model: nn.Module) -> nn.Module:
        return model

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        return model.state_dict()

    def load(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        model.load_state_dict(weights)

    def optimizer_state(self, optimizer: Optimizer) -> OptimizerState:
        return optimizer.state_dict()

    def load_optimizer(self, optimizer: Optimizer, state: OptimizerState) -> None:
        optimizer.load_state_dict(state)
