"""The toy with an appetite: every sample in a batch takes as much memory as it is asked to."""

from __future__ import annotations

import torch
from torch import nn

from models.family import Batch
from models.pictures import Picture
from tests.families.toy import Toy, ToySettings

FLOATS_IN_A_MEGABYTE = 2**18


class HungrySettings(ToySettings):
    """Recipe keys that cost memory, in MiB."""

    model_mb: int = 0  # whatever the batch
    sample_mb: int = 0  # of every sample in a training batch
    judged_mb: int = 0  # of every sample in a validation batch
    drawn_mb: int = 0  # of a picture


class Hungry(Toy):
    Settings = HungrySettings

    def build_model(self) -> nn.Module:
        self.eaten = _eat(self.settings.model_mb)
        return super().build_model()

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        meal = _eat(self.settings.sample_mb * len(batch["input"]))
        terms = super().losses(model, batch)
        # As activations do, the meal stays until the backward pass.
        return terms | {"meal": (meal * terms["bias"]).sum() * 0.0}

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        _eat(self.settings.judged_mb * len(batch["input"]))
        return super().evaluate(model, batch)

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        _eat(self.settings.drawn_mb)
        return super().pictures(model, batch)


def _eat(megabytes: int) -> torch.Tensor:
    return torch.zeros(megabytes * FLOATS_IN_A_MEGABYTE)
