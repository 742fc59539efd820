"""Which of several results is the best: said here, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["minimize", "maximize"]
T = TypeVar("T")


class Objective(BaseModel):
    """Which validation metric is searched for, and which way is better."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(description="a validation metric of the family")
    direction: Direction = Field(description="the way in which this metric gets better")

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` improves on `than`; NaN and infinity never do."""
        if not math.isfinite(value):
            return False
        if than is None:
            return True
        return value < than if self.direction == "minimize" else value > than


def ranked(items: Iterable[T], value: Callable[[T], float | None], direction: Direction) -> list[T]:
    """The items whose value is finite, the best first; of equals the earlier one first."""
    sign = 1.0 if direction == "minimize" else -1.0
    known = [
        (sign * number, item)
        for item in items
        if (number := value(item)) is not None and math.isfinite(number)
    ]
    return [item for _, item in sorted(known, key=lambda pair: pair[0])]
