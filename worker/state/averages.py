"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from worker.ranks.group import Group


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


class LossMeans:
    """Sums on this rank's device, brought together only when asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._samples = 0

    def add(self, terms: dict[str, Tensor], samples: int) -> None:
        """Add a micro-batch's terms, each a mean over its `samples`."""
        if samples == 0:
            return
        for name, term in terms.items():
            earlier = self._sums.get(name)
            if earlier is None:
                self._sums[name] = samples * term.double()
            else:
                self._sums[name] = torch.add(earlier.to(term.device), term, alpha=samples)
        self._samples += samples

    def gathered(self, group: Group) -> dict[str, Any]:
        """Every replica's sums and samples, to be called by all ranks."""
        own = {name: total.item() for name, total in self._sums.items()}
        shares = group.gather((own, self._samples))[:: group.chain.ranks]  # who sees the loss
        return {"sums": [sums for sums, _ in shares], "samples": [count for _, count in shares]}

    def means(self, group: Group) -> dict[str, float]:
        """The mean of every term over all ranks' samples, to be called by all of them."""
        shares = self.gathered(group)
        samples = sum(shares["samples"])
        return {name: total / samples for name, total in _added(shares["sums"]).items()}

    def restore(self, shares: dict[str, Any], group: Group) -> None:
        """Go on from what `gathered` gave, each from its own sums, so that means are exact.

        Of another number of replicas, and of version 0.2.0, which kept one sum, rank 0 takes all.
        """
        self.clear()
        sums, samples = shares["sums"], shares["samples"]
        if isinstance(sums, dict):
            sums, samples = [sums], [samples]
        replica = group.replicas.rank
        if len(sums) != group.replicas.ranks:
            sums, samples = [_added(sums)], [sum(samples)]
        if group.leads and replica < len(sums):
            own = sums[replica].items()
            self._sums = {name: torch.tensor(total, dtype=torch.float64) for name, total in own}
            self._samples = samples[replica]

    def clear(self) -> None:
        self._sums = {}
        self._samples = 0


def _added(shares: list[dict[str, float]]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for share in shares:
        for name, total in share.items():
            totals[name] = totals.get(name, 0.0) + total
    return totals
