"""A family whose model can be cut into stages: a small 3-D U-Net that removes noise.

It can also misbehave on request: steps are counted from 1 as the forward passes of one level in
training mode within one process, and a fault strikes the process that holds `fault_level`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from models.family import Batch, Direction, FamilySettings
from models.pictures import Panel, Picture
from models.pipelined import Carry, Kept, PipelinedFamily, Prepared, Segment
from protocol.errors import SettingsError


class PipelinedToySettings(FamilySettings):
    """Recipe keys of the toy."""

    width: int = 4  # channels
    levels: int = 3
    batch_norm: bool = False
    dropout: float = 0.0
    steep: bool = False  # exponential loss
    step_seconds: float = 0.0  # slept in every training pass of the first level
    fault_level: int = 0
    nan_at_step: int | None = None  # the level's output becomes NaN
    nan_gradient_at_step: int | None = None  # finite output, non-finite gradient
    die_at_step: int | None = None  # SIGKILL to itself
    hang_at_step: int | None = None  # sleeps for ever
    raise_at_step: int | None = None  # RuntimeError
    fault_once: str = ""  # a file that the fault creates; while it exists there is no fault


class PipelinedToyData(BaseModel):
    """Keys of the toy's `data:` section; nothing is read from disk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = 10  # of the training split
    validation_samples: int = 3
    size: int = 6  # voxels along each side


class Volumes:
    def __init__(self, data: PipelinedToyData, split: str) -> None:
        self.length = data.samples if split == "train" else data.validation_samples
        self.offset = {"train": 0, "validation": 10**6, "test": 2 * 10**6}[split]
        self.size = data.size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, object]:
        generator = np.random.default_rng(self.offset + index)
        coarse = generator.normal(size=(1, 2, 2, 2)).astype(np.float32)
        volume = coarse.repeat(self.size // 2, 1).repeat(self.size // 2, 2)
        return {"ct": volume.repeat(self.size // 2, 3), "seed": np.int64(self.offset + index)}


class Level(nn.Module):
    """A pair of blocks, one on the way down and one on the way up, and its faults."""

    def __init__(self, settings: PipelinedToySettings, number: int) -> None:
        super().__init__()
        width = settings.width
        norm = nn.BatchNorm3d(width) if settings.batch_norm else nn.Identity()
        # A bias before a normalisation has no gradient but rounding, which Adam would blow up.
        conv = nn.Conv3d(width, width, 3, padding=1, bias=not settings.batch_norm)
        self.down = nn.Sequential(conv, norm, nn.Tanh())
        self.shift = nn.Linear(width, width)
        self.dropout = nn.Dropout(settings.dropout)
        self.up = nn.Conv3d(2 * width, width, 3, padding=1)
        self.settings = settings
        self.number = number
        self.step = 0

    def descend(self, x: Tensor, embedding: Tensor) -> Tensor:
        shift = self.shift(embedding)[:, :, None, None, None]
        return self._misbehave(self.dropout(self.down(x) + shift))

    def ascend(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.tanh(self.up(torch.cat([x, skip], dim=1)))

    def _misbehave(self, x: Tensor) -> Tensor:
        # Passes without gradients belong to validation, or look at shapes alone.
        if not (self.training and torch.is_grad_enabled()):
            return x
        self.step += 1
        settings = self.settings
        if self.number == 0:
            time.sleep(settings.step_seconds)
        if self._struck(settings.die_at_step):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._struck(settings.hang_at_step):
            time.sleep(10**6)
        if self._struck(settings.raise_at_step):
            raise RuntimeError(f"the toy was asked to raise at step {self.step}")
        if self._struck(settings.nan_gradient_at_step):
            x = x + torch.sqrt(x * 0.0)  # whose slope is infinite at zero
        return x * float("nan") if self._struck(settings.nan_at_step) else x

    def _struck(self, step: int | None) -> bool:
        if step != self.step or self.number != self.settings.fault_level:
            return False
        once = self.settings.fault_once
        if once and Path(once).exists():
            return False
        if once:
            Path(once).touch()
        return True


class PipelinedToyModel(nn.Module):
    def __init__(self, settings: PipelinedToySettings) -> None:
        super().__init__()
        self.embed = nn.Linear(1, settings.width)
        self.stem = nn.Conv3d(1, settings.width, 3, padding=1)
        self.levels = nn.ModuleList(Level(settings, n) for n in range(settings.levels))
        self.head = nn.Conv3d(settings.width, 1, 1)

    def forward(self, noisy: Tensor, noise_level: Tensor) -> Tensor:
        embedding = torch.tanh(self.embed(noise_level[:, None]))
        x = self.stem(noisy)
        skips = []
        for level in self.levels:
            x = level.descend(x, embedding)
            skips.append(x)
        for level in reversed(self.levels):
            x = level.ascend(x, skips.pop())
        return self.head(x)


class Down(Segment):
    def __init__(self, model: PipelinedToyModel, levels: Sequence[Level], first: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.embed = model.embed if first else None
        self.stem = model.stem if first else None

    def forward(self, carry: Carry, kept: Kept) -> Carry:
        if self.embed is not None and self.stem is not None:
            noisy, noise_level = carry
            mark = torch.arange(len(noisy), device=noisy.device)  # whole numbers travel as well
            carry = (self.stem(noisy), torch.tanh(self.embed(noise_level[:, None])), mark)
        x, embedding, mark = carry
        for number, level in enumerate(self.levels):
            x = level.descend(x, embedding)
            kept.put(f"skip{number}", x)
        return x, embedding, mark


class Up(Segment):
    def __init__(self, model: PipelinedToyModel, levels: Sequence[Level], last: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.head = model.head if last else None

    def forward(self, carry: Carry, kept: Kept) -> Carry:
        x, *unused = carry  # the others travel on, though nobody needs them any more
        for number, level in reversed(list(enumerate(self.levels))):
            x = level.ascend(x, kept.take(f"skip{number}"))
        return (x, *unused) if self.head is None else (self.head(x),)


class PipelinedToy(PipelinedFamily[PipelinedToySettings, PipelinedToyData]):
    Settings = PipelinedToySettings
    Data = PipelinedToyData
    metrics: ClassVar[Mapping[str, Direction]] = {"error": "minimize"}

    def dataset(self, split: str) -> Volumes:
        return Volumes(self.data, split)

    def build_model(self) -> nn.Module:
        return PipelinedToyModel(self.settings)

    def prepare(self, batch: Batch) -> Prepared:
        noises, levels = [], []
        for sample in range(len(batch["ct"])):
            generator = torch.Generator().manual_seed(int(batch["seed"][sample]))
            noises.append(torch.randn(batch["ct"].shape[1:], generator=generator))
            levels.append(torch.rand((), generator=generator))
        noise = torch.stack(noises).to(batch["ct"].device)
        level = torch.stack(levels).to(batch["ct"].device)
        noisy = batch["ct"] + level[:, None, None, None, None] * noise
        return Prepared(inputs=(noisy, level), targets={"ct": batch["ct"]})

    def terms(self, output: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        difference = output.float() - targets["ct"]
        squares = difference.square()
        data_term = torch.expm1(squares).mean() if self.settings.steep else squares.mean()
        return {"data": data_term, "bias": 0.1 * difference.mean(dim=(1, 2, 3, 4)).square().mean()}

    def segments(self, model: nn.Module, stages: int) -> Sequence[Segment]:
        assert isinstance(model, PipelinedToyModel)
        count = len(model.levels)
        if stages > count:
            raise SettingsError(
                f"found {stages}, expected at most {count} levels", key="parallel.stages"
            )
        cuts = [count * stage // stages for stage in range(stages + 1)]
        groups = [list(model.levels)[a:b] for a, b in pairwise(cuts)]
        downs = [Down(model, group, number == 0) for number, group in enumerate(groups)]
        ups = [Up(model, group, number == 0) for number, group in enumerate(groups)]
        return [*downs, *reversed(ups)]

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        prepared = self.prepare(batch)
        once = model(*prepared.inputs)
        twice = model(once, torch.zeros_like(prepared.inputs[1]))
        return {"error": (twice - batch["ct"]).square().mean(dim=(1, 2, 3, 4))}

    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        results = model(*self.prepare(batch).inputs).cpu().numpy()
        return [
            Picture(
                name=f"sample_{number}",
                title="restored",
                panels=[Panel(title="result", image=result[0, 0])],
                window=(-1.0, 1.0),
            )
            for number, result in enumerate(results)
        ]
