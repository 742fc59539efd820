"""A family small enough for tests of everything around it: it sharpens blurred random images.

It can also misbehave on request. Steps are counted from 1 as the calls of `losses` in one process
(with `accumulation` 1 that is the optimiser steps of this attempt); a fault strikes the rank that
is asked for, and with `fault_once` only in the first attempt that reaches it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
import torch.distributed as dist
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from models.family import Batch, Direction, Family, FamilySettings
from models.pictures import Panel, Picture
from protocol.errors import DataError


class ToySettings(FamilySettings):
    """Recipe keys of the toy."""

    width: int = 4  # channels of the hidden layer
    refused_width: int | None = None  # the one that is no valid setting
    batch_norm: bool = False
    dropout: float = 0.0
    steep: bool = False  # exponential loss: adam diverges from a learning rate of 0.3 on

    step_seconds: float = 0.0  # slept in every step
    validation_seconds: float = 0.0  # slept for every validation batch
    validation_mark: str = ""  # a file that a validation batch creates when it begins

    raise_at_step: int | None = None  # RuntimeError
    user_error_at_step: int | None = None  # DataError
    nan_at_step: int | None = None  # this rank's batch becomes NaN
    nan_gradient_at_step: int | None = None  # finite loss, non-finite gradient
    always_nan_gradient: bool = False  # the same in every step
    leave_at_step: int | None = None  # SystemExit
    die_at_step: int | None = None  # SIGKILL to itself
    hang_at_step: int | None = None  # sleeps for ever
    fault_rank: int = 0  # whom the faults above strike
    fault_once: str = ""  # a file that the fault creates; while it exists there is no fault
    nan_validation: bool = False  # the metrics are NaN
    refused: bool = False  # an operator without a deterministic form
    largest_batch: int | None = None  # more samples than this in a batch: out of memory

    @model_validator(mode="after")
    def _valid(self) -> Self:
        if self.width == self.refused_width:
            raise ValueError(f"a width of {self.width} is one that cannot be")
        return self


class ToyData(BaseModel):
    """Keys of the toy's `data:` section; nothing is read from disk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = 24  # of the training split
    validation_samples: int = 8  # of the validation and test splits
    size: int = 8  # pixels along each side
    seed: int = 0
    fold: int = 0  # there are three; each has samples of its own
    noise: float = 0.0  # augmentation, drawn anew whenever a sample is read


class ToyDataset:
    def __init__(self, data: ToyData, split: str) -> None:
        self.length = data.samples if split == "train" else data.validation_samples
        self.data = data
        if not 0 <= data.fold < 3:
            raise DataError(f"found {data.fold}, expected 0 to 2", key="data.fold")
        self.offset = {"train": 0, "validation": 10**6, "test": 2 * 10**6}[split]
        self.offset += 10**7 * data.fold

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        generator = np.random.default_rng([self.data.seed, self.offset + index])
        sharp = generator.normal(size=(1, self.data.size, self.data.size)).astype(np.float32)
        blurred = (sharp + np.roll(sharp, 1, axis=1) + np.roll(sharp, 1, axis=2)) / 3
        if self.data.noise:
            blurred += self.data.noise * np.random.normal(size=sharp.shape).astype(np.float32)
        return {"input": blurred, "target": 0.3 * sharp}


class ToyModel(nn.Module):
    def __init__(self, settings: ToySettings) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, settings.width, 3, padding=1)]
        if settings.batch_norm:
            layers.append(nn.BatchNorm2d(settings.width))
        layers += [nn.Tanh(), nn.Dropout(settings.dropout)]
        layers.append(nn.Conv2d(settings.width, 1, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image)


class Toy(Family[ToySettings, ToyData]):
    Settings = ToySettings
    Data = ToyData
    metrics: ClassVar[Mapping[str, Direction]] = {"error": "minimize", "psnr": "maximize"}

    def __init__(self, settings: ToySettings, data: ToyData) -> None:
        super().__init__(settings, data)
        self.step = 0

    def dataset(self, split: str) -> ToyDataset:
        return ToyDataset(self.data, split)

    def build_model(self) -> nn.Module:
        return ToyModel(self.settings)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        self.step += 1
        time.sleep(self.settings.step_seconds)
        self._misbehave()
        source = batch["input"]
        if len(source) > (self.settings.largest_batch or len(source)):
            raise torch.OutOfMemoryError(f"the toy holds {self.settings.largest_batch} samples")
        if self.settings.refused:
            source = source.clone().put_(torch.tensor([0]), torch.zeros(1))
        if self._struck(self.settings.nan_at_step):
            source = source * float("nan")
        difference = model(source) - batch["target"]
        bad_gradient = self._struck(self.settings.nan_gradient_at_step)
        if bad_gradient or self.settings.always_nan_gradient:
            # The square root's slope at zero is infinite, its value is not.
            difference = difference + torch.sqrt(difference * 0.0)
        squares = difference.float() ** 2
        offsets = difference.float().mean(dim=(1, 2, 3))
        data_term = torch.expm1(squares).mean() if self.settings.steep else squares.mean()
        return {"data": data_term, "bias": 0.01 * offsets.square().mean()}

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        if self.settings.validation_mark:
            Path(self.settings.validation_mark).touch()
        time.sleep(self.settings.validation_seconds)
        error = ((model(batch["input"]) - batch["target"]) ** 2).mean(dim=(1, 2, 3))
        if self.settings.nan_validation:
            error = error * float("nan")
        return {"error": error, "psnr": -10 * torch.log10(error)}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        results = model(batch["input"]).cpu().numpy()
        targets = batch["target"].cpu().numpy()
        return [
            Picture(
                name=f"sample_{number}",
                title=f"RMSE {np.sqrt(np.mean((result - target) ** 2)):.3f}",
                panels=[
                    Panel(title="target", image=target[0], role="target"),
                    Panel(title="result", image=result[0], role="result"),
                    Panel(title="difference", image=(result - target)[0], difference=True),
                ],
                window=(-1.0, 1.0),
            )
            for number, (result, target) in enumerate(zip(results, targets, strict=True))
        ]

    def _misbehave(self) -> None:
        settings = self.settings
        if self._struck(settings.raise_at_step):
            raise RuntimeError(f"the toy was asked to raise at step {self.step}")
        if self._struck(settings.user_error_at_step):
            raise DataError(f"the toy's file ended at step {self.step}")
        if self._struck(settings.leave_at_step):
            raise SystemExit("leave_at_step")
        if self._struck(settings.die_at_step):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._struck(settings.hang_at_step):
            time.sleep(10**6)

    def _struck(self, step: int | None) -> bool:
        if step != self.step or _rank() != self.settings.fault_rank:
            return False
        if self.settings.fault_once:
            try:
                Path(self.settings.fault_once).touch(exist_ok=False)
            except FileExistsError:
                return False
        return True


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0
