"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """A second model whose parameters follow the trained one's.

    Early on the decay is lower, (1 + n) / (10 + n) after n updates, so that the random initial
    weights are soon forgotten. Buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards `model`'s present weights."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        averaged = list(self.model.parameters())
        current = [parameter.detach() for parameter in model.parameters()]
        if averaged:
            get_ema_multi_avg_fn(decay)(averaged, current, self.updates)
        for kept, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
        self.updates += 1
