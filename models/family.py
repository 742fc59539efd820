"""What a model family is.

A family says what is trained, on which data, against which loss, and how the result is judged
and shown. Devices, ranks, checkpoints, guards, schedules and logging are the worker's business:
a family never sees them. Its file imports what it needs, and only it pays for that import.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from data.splits import Split as Split
from models.evaluation import Evaluation
from models.pictures import Panel as Panel
from models.pictures import Picture as Picture
from models.program import Program
from protocol.errors import SettingsError

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
class Volume:
    """A CT volume in patient space.

    Its axes run from head to feet, from front to back, and from the patient's right to the left.
    """

    hu: NDArray[np.float32]  # (D, H, W)
    voxel_size: tuple[float, float, float]  # mm, along the same axes


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

    def check(self) -> None:
        """Refuse what only a look at other files than the data can refuse.

        It is called before a study starts, so that a wrong path does not begin one.

        Raises:
            SettingsError: carries the key, as `SettingsError("…", key="recipe.weights_file")`.
        """

    @abstractmethod
    def dataset(self, split: Split) -> MapDataset:
        """The split's samples; opening it checks every file's header.

        Raises:
            DataError: a file is missing, truncated or not of this format.
        """

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A new model on the CPU; random initial weights come from torch's global generator."""

    def initialize(self, model: nn.Module) -> None:
        """Put weights from elsewhere into a new model that is about to be trained.

        It is not called for a model whose checkpoint is only judged or shown, so that a trained
        model does not need the files that its training started from.

        Raises:
            SettingsError: the weights cannot be read or are of another model.
        """

    def epoch_begins(self, epoch: int) -> None:
        """Get ready to train epoch number `epoch`, counted from 1 within a fold.

        It is called on every rank before the epoch's first step, and again before the first step
        after an interruption: for losses that change while a model trains.
        """

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

    def evaluation(self) -> Evaluation | None:
        """How a whole split is judged; None: by the mean of `evaluate` over its samples."""
        return None

    def program(self, model: nn.Module) -> Program:
        """What `predict` and an exported folder run: a trained model and all arithmetic around it.

        Args:
            model: in evaluation mode; the program holds it, and is on its device.

        Raises:
            SettingsError: this family makes no predictions, or this trial makes none.
        """
        raise SettingsError(
            f"{type(self).__name__} makes no predictions; expected a trial of a family that has "
            "`program`",
            key="family",
        )

    def infer(self, model: nn.Module, xrays: Tensor) -> Volume:
        """The volume that belongs to two X-rays which come without a target.

        Args:
            xrays: (2, H, W) in [0, 1], front view first, of any size, on the model's device.

        Raises:
            SettingsError: this family makes no volumes from X-rays.
        """
        raise SettingsError(
            f"{type(self).__name__} makes no volume from X-rays; "
            "expected a trial of a family that does",
            key="infer",
        )
