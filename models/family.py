"""What a model family is, and how one is found by name.

A family says what is trained, on which data, against which loss, and how the result is judged
and shown. Devices, ranks, checkpoints, guards, schedules and logging are the worker's business:
a family never sees them. Its file imports what it needs, and only it pays for that import.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from orchestrator.errors import SettingsError

Split = Literal["train", "validation", "test"]
Direction = Literal["minimize", "maximize"]
Batch = dict[str, Tensor]


class FamilySettings(BaseModel):
    """Base of a family's own recipe keys and of a data format's keys; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MapDataset(Protocol):
    """A map-style data set of dictionaries of arrays; batches are collated by torch."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One image of a picture."""

    title: str
    image: NDArray[np.float32]  # (H, W)
    difference: bool = False  # drawn symmetric about zero in a diverging colour map


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Panels side by side, drawn in one intensity window."""

    name: str  # tells several pictures of one sample apart
    title: str
    panels: Sequence[Panel]
    window: tuple[float, float]  # lowest and highest intensity shown


S = TypeVar("S", bound=FamilySettings)
D = TypeVar("D", bound=BaseModel)


class Family(ABC, Generic[S, D]):
    """One model family, with the settings of one trial.

    Raises from any method are the trial's failure, except UserError, which stops the study with
    its one sentence.
    """

    Settings: ClassVar[type[FamilySettings]]  # the recipe keys this family adds
    Data: ClassVar[type[BaseModel]]  # the keys of the `data:` section it reads
    metrics: ClassVar[Mapping[str, Direction]]  # what `evaluate` returns, and which way is better

    def __init__(self, settings: S, data: D) -> None:
        self.settings = settings
        self.data = data

    @abstractmethod
    def dataset(self, split: Split) -> MapDataset:
        """The split's samples; opening it checks every file's header.

        Raises:
            DataError: a file is missing, truncated or not of this format.
        """

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A new model on the CPU; random initial weights come from torch's global generator."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted loss terms, each a scalar mean over the batch; their sum is minimised.

        Call `model` only through `model(...)`: it may be wrapped for data-parallel training.
        Random numbers come from torch's global generator, which is seeded before every step.
        """

    @abstractmethod
    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Every metric of `metrics` for every sample, each of shape (B,)."""

    @abstractmethod
    def pictures(self, model: nn.Module, batch: Batch) -> list[Picture]:
        """What a radiologist would want to see of these samples, one picture a sample."""


def load_family(reference: str) -> type[Family[Any, Any]]:
    """The family class that `reference` names: `name` in models/, or `path/to/file.py:ClassName`.

    Raises:
        SettingsError: there is no such family.
    """
    if ":" in reference:
        path, _, class_name = reference.rpartition(":")
        module = _import_file(Path(path))
        found = getattr(module, class_name, None)
        if not (inspect.isclass(found) and issubclass(found, Family)):
            raise SettingsError(f"family: {path} has no Family class named {class_name!r}")
        return found
    if reference not in known_families():
        raise SettingsError(
            f"family: there is no family {reference!r}; known are {', '.join(known_families())}, "
            "or name your own as path/to/file.py:ClassName"
        )
    module = importlib.import_module(f"models.{reference}")
    return next(
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Family)
        and member.__module__ == module.__name__
    )


def known_families() -> list[str]:
    """The names of the families that live in models/."""
    return sorted(
        file.stem
        for file in Path(__file__).parent.glob("*.py")
        if file.stem not in ("__init__", "family", "evaluation")
    )


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise SettingsError(f"family: there is no file {path}")
    name = f"tomostudy_family_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"family: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
