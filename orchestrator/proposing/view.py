"""What a sampler or a pruner could see when it was asked: in short, so that it can be kept.

The values of ended trials never change, so their numbers say all of them; of running trials the
last reported step says how far their curves were known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """A study as it was at one moment, without the trial that was asked about."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    finished: str = ""  # numbers of ended trials, as ranges
    running: str = ""  # numbers of running trials
    known: dict[int, int] = {}  # the last reported step of those that had reported any
    settings: int | None = None  # the journal's line that was in effect; of version 0.2 None

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial], number: int, settings: int | None = None) -> View:
        """What can be seen of `trials` by whoever is asked about trial `number`."""
        others = [trial for trial in trials if trial.number != number]
        running = [trial for trial in others if trial.state == TrialState.RUNNING]
        return cls(
            finished=ranges(trial.number for trial in others if trial.state.is_finished()),
            running=ranges(trial.number for trial in running),
            known={t.number: t.last_step for t in running if t.last_step is not None},
            settings=settings,
        )

    def kept(self) -> dict[str, Any]:
        """As it is written down: what is empty is left out."""
        return self.model_dump(exclude_defaults=True) | {
            "finished": self.finished,
            "running": self.running,
        }


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: [0, 1, 2, 5] as "0-2,5"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def numbers_in(text: str) -> list[int]:
    """What `ranges` made short.

    Raises:
        ValueError: it never made this text.
    """
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found
