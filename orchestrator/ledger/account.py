"""One account: device-seconds by what they went into, memory at most, energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from protocol.messages import Ending

GIB, JOULES_PER_KWH, HOUR = 2**30, 3.6e6, 3600.0
USES: dict[str, str] = {  # as people read them
    "kept": "trained and kept",
    "pruned": "pruned",
    "diverged": "diverged",
    "failed": "failed",
    "unfinished": "not finished",
    "repeated": "lost and repeated",
    "waiting": "waiting",
}
_OF_ENDING = {Ending.COMPLETED: "kept", Ending.NONFINITE: "diverged"}
_PRUNED = (Ending.PRUNED, Ending.OVERDUE, Ending.CANCELLED, Ending.INVALID)


def use_of(ending: Ending | None) -> str:
    """What the training of a trial went into that ended so; None: it has not."""
    if ending is None:
        return "unfinished"
    return _OF_ENDING.get(ending, "pruned" if ending in _PRUNED else "failed")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Of an attempt, a trial or a study; times are in seconds, times devices."""

    kept: float = 0.0  # training of complete trials
    pruned: float = 0.0  # of pruned ones, for whatever reason but the next
    diverged: float = 0.0  # of those that came to NaN or infinity
    failed: float = 0.0  # of those that failed, were lost for good, or did not fit into memory
    unfinished: float = 0.0  # of those that have not ended
    repeated: float = 0.0  # training whose steps were lost, and taken again by a later attempt
    waiting: float = 0.0  # held without training: starting, reading data, between two trials
    lasted: float = 0.0  # seconds in which an attempt was there, whatever its devices
    peak: int = 0  # bytes that one device needed at most; 0 where nobody told
    joules: float = 0.0
    metered: float = 0.0  # seconds, times devices, that the joules are of

    @property
    def seconds(self) -> float:
        """All of it, times devices."""
        return float(sum(getattr(self, use) for use in USES))

    @property
    def device_hours(self) -> float:
        return self.seconds / HOUR

    def hours(self, use: str) -> float:
        """Device-hours that went into one of `USES`."""
        return float(getattr(self, use)) / HOUR

    def __add__(self, other: Account) -> Account:
        sums = {name: getattr(self, name) + getattr(other, name) for name in _NAMES}
        return Account(**(sums | {"peak": max(self.peak, other.peak)}))

    def packed(self) -> dict[str, Any]:
        """What is not nought, in JSON's types."""
        return {name: round(value, 3) for name, value in asdict(self).items() if value}

    @classmethod
    def unpacked(cls, told: Mapping[str, Any]) -> Self:
        """From what `packed` made, by this version or another."""
        return cls(**{name: told[name] for name in _NAMES if name in told})


_NAMES = [field.name for field in fields(Account)]
