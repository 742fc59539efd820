"""What a sampler or a pruner could see when it was asked: in short, so that it can be kept.

The values of ended trials never change, so their numbers say all of them; of running trials the
last reported step says how far their curves were known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
    def of(
        cls,
        trials: Sequence[FrozenTrial],
        number: int,
        settings: int | None = None,
        ignored: Collection[int] = (),
    ) -> View:
        """What can be seen of `trials`, by number, by whoever is asked about trial `number`.

        Args:
            ignored: numbers of those that are not shown.
        """
        going = (TrialState.RUNNING, TrialState.WAITING)
        others = [trial for trial in trials if trial.state in going and trial.number != number]
        running = [
            trial
            for trial in others
            if trial.state is TrialState.RUNNING and trial.number not in ignored
        ]
        hidden = {number, *ignored, *(trial.number for trial in others)}
        return cls(
            finished=_ranges_without(trials, hidden),
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


def _ranges_without(trials: Sequence[FrozenTrial], left_out: set[int]) -> str:
    """The numbers of trials but for a few; without a look at each where they have no gap."""
    if not trials or trials[-1].number != len(trials) - 1:
        return ranges(trial.number for trial in trials if trial.number not in left_out)
    starts = [0, *(number + 1 for number in sorted(left_out))]
    ends = [*(number - 1 for number in sorted(left_out)), len(trials) - 1]
    ends = [min(end, len(trials) - 1) for end in ends]
    spans = zip(starts, ends, strict=True)
    return ",".join(_span(first, last) for first, last in spans if first <= last)


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: [0, 1, 2, 5] as "0-2,5"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(_span(first, last) for first, last in parts)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


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
