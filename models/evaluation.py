"""How a family is judged as a whole, where means over single samples do not do.

A family that is judged sample by sample has `Family.evaluate` alone. One whose verdict needs more
at once, as a threshold that is chosen on one split and used on another, returns an `Evaluation`
from `Family.evaluation()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import nn

from models.pictures import Picture

HeldOut = Literal["validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be judged, and where to keep what is dear to compute."""

    split: HeldOut
    store: Path  # a folder for this checkpoint alone; what lies there may be used again
    parameters: Mapping[str, Any] = field(default_factory=dict)  # instead of the defaults
    tell: Callable[[str], None] = lambda _: None  # hears how far it is


@dataclass(frozen=True, kw_only=True)
class Case:
    """One sample, volume or patient."""

    name: str
    group: str  # the data set it comes from; means are given for each group
    scores: Mapping[str, float | None]  # None where a score has no meaning for this case


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on one checkpoint."""

    cases: Sequence[Case]
    settings: Mapping[str, Any]  # what it depends on, for the record: JSON
    notes: Sequence[str] = ()  # what a reader of the means has to know
    pictures: Sequence[tuple[str, Picture]] = ()  # each with a file stem


class Scorer(Protocol):
    """Scores proposals for an evaluation's parameters, without the family or its model.

    It is a function of a module that can be imported by its name, or of the family's own file:
    it runs in another process.
    """

    __name__: str

    def __call__(
        self, tasks: Sequence[Mapping[str, Any]], candidates: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """{"scores": [{"value": float, ...}, ...]}: one for each candidate, larger is better.

        Args:
            tasks: `Tuning.task` of every fold.
            candidates: points of the space, {parameter: value}.
        """


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Parameters of the evaluation that can be searched without running the model."""

    scorer: Scorer | str  # or as "module:function", for one that is not to be imported yet
    task: Mapping[str, Any]  # what the scorer has to know of this checkpoint: JSON
    space: Mapping[str, Mapping[str, Any]]  # spelled as in a study's `search:`
    defaults: Mapping[str, Any]  # tried first


class Evaluation(ABC):
    """Judges a family's models on whole splits."""

    @abstractmethod
    def judge(self, model: nn.Module, request: Request) -> Judgement:
        """The verdict on `model`, which is on its device and in evaluation mode.

        Raises:
            DataError: the split, or another that this needs, is missing or damaged.
        """

    def tuning(self, model: nn.Module, request: Request) -> Tuning | None:
        """What can be tuned on the request's split; None where nothing can.

        Raises:
            DataError: as `judge`.
        """
        return None
