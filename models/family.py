"""What a model family is, and how one is found by name.

A family says what is trained, on which data, against which loss, and how the result is judged
and shown. Devices, ranks, checkpoints, guards, schedules and logging are the worker's business:
a family never sees them. Its file imports what it needs, and only it pays for that import.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from models import plugins
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from models.evaluation import Evaluation
    from models.inference import Volume

log = logging.getLogger(__name__)

Split = Literal["train", "validation", "test"]
Direction = Literal["minimize", "maximize"]
Batch = dict[str, Tensor]

# The other files of models/.
_NO_FAMILIES = ("__init__", "evaluation", "family", "inference", "pipelined", "plugins")


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
    window: tuple[float, float] | None = None  # instead of the picture's
    outlines: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # (H, W) by colour


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Panels in one row or several, drawn in one intensity window but for those with their own."""

    name: str  # tells several pictures of one sample apart
    title: str
    panels: Sequence[Panel]
    window: tuple[float, float]  # lowest and highest intensity shown
    scores: Mapping[str, float] = field(default_factory=dict)  # of this result, beyond `evaluate`'s
    per_row: int | None = None  # panels of a row, which divides their number; None: all of them


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
            SettingsError: its sentence begins with the key, as in `recipe.weights_file: …`.
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

    def infer(self, model: nn.Module, xrays: Tensor) -> Volume:
        """The volume that belongs to two X-rays which come without a target.

        Args:
            xrays: (2, H, W) in [0, 1], front view first, of any size, on the model's device.

        Raises:
            SettingsError: this family makes no volumes from X-rays.
        """
        raise SettingsError(
            f"infer: {type(self).__name__} makes no volume from X-rays; "
            "expected a trial of a family that does"
        )


def load_family(reference: str) -> type[Family[Any, Any]]:
    """The family class that `reference` names.

    Args:
        reference: a name in models/, a name that an installed package offers as an entry point
            of the group `tomostudy.families`, or `path/to/file.py:ClassName`. Under a name that
            both have, models/ wins, and a warning says so.

    Raises:
        SettingsError: there is no such family, or its module cannot be imported.
    """
    if ":" in reference:
        path, _, class_name = reference.rpartition(":")
        module = plugins.import_file(Path(path))
        return _checked(getattr(module, class_name, None), f"{path} has", class_name)
    points = plugins.offered().get(reference, [])
    if reference in _own_families():
        for point in points:
            message = "family %r is the one in models/, not that of %s"
            log.warning(message, reference, plugins.describe(point))
        return _own_family(reference)
    if points:
        found = plugins.load_offered(reference, points)
        return _checked(found, f"{plugins.describe(points[0])} is", reference)
    raise SettingsError(
        f"family: there is no family {reference!r}; known are {', '.join(known_families())}, "
        "or name your own as path/to/file.py:ClassName"
    )


def known_families() -> list[str]:
    """The names of the families in models/ and of those that installed packages offer."""
    return sorted({*_own_families(), *plugins.offered()})


def _own_families() -> list[str]:
    return [
        file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in _NO_FAMILIES
    ]


def _own_family(name: str) -> type[Family[Any, Any]]:
    module = importlib.import_module(f"models.{name}")
    classes = [member for member in vars(module).values() if _is_family(member)]
    own = [member for member in classes if member.__module__ == module.__name__]
    return _checked(own[0] if own else None, f"models/{name}.py has", name)


def _checked(found: Any, owner: str, name: str) -> type[Family[Any, Any]]:
    if not _is_family(found):
        raise SettingsError(
            f"family: {owner} no complete Family class named {name!r}; expected a class that "
            f"derives from models.family.Family{_missing(found)}"
        )
    family: type[Family[Any, Any]] = found
    return family


def _is_family(member: Any) -> bool:
    return inspect.isclass(member) and issubclass(member, Family) and not _missing(member)


def _missing(family: Any) -> str:
    """What a family class still lacks, as the end of a sentence."""
    if not (inspect.isclass(family) and issubclass(family, Family)):
        return ""
    attributes = [key for key in ("Settings", "Data", "metrics") if not hasattr(family, key)]
    lacking = [*attributes, *sorted(family.__abstractmethods__)]
    return f" and has {', '.join(lacking)}" if lacking else ""
