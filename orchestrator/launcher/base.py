"""What the runner asks of a launcher: start an attempt, say how it went, end it.

A launcher knows nothing of studies, samplers or settings; it gets a trial's folder with its plan
in it, and everything else about the attempt travels through that folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from protocol.folders import TrialFolder
from protocol.messages import Plan


class Cause(StrEnum):
    """What ended a group from outside, as far as a launcher can tell."""

    MOVED = "moved"  # its place was taken back, or failed: nothing of the trial's own
    MEMORY = "memory"  # it took more than it was given
    CANCELLED = "cancelled"  # a person's doing


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How an attempt's processes went away."""

    codes: dict[int, int] = field(default_factory=dict)  # by rank; negative: that signal ended it
    first: int | None = None  # the rank that went first with anything but 0
    hung: int | None = None  # the rank that made no progress within its time-out
    vanished: bool = False  # the group went without a report
    word: str = ""  # why, where the launcher knows
    cause: Cause | None = None  # likewise, where it lies outside the group


class Attempt(Protocol):
    """One launched group of ranks."""

    def fileno(self) -> int:
        """Readable when `poll` may have news."""
        ...

    def poll(self) -> Exit | None:
        """How the group went away, or None while it is there; never blocks."""
        ...

    def kill(self) -> None:
        """End every process of the group at once; `poll` says when they are gone."""
        ...

    def recall(self) -> None:
        """Take it back if none of its processes has begun yet."""
        ...

    @property
    def waits(self) -> bool:
        """Whether it waits for a place: none of its processes has begun."""
        ...

    @property
    def place(self) -> str:
        """Where it runs or what it waits for, where that is news to people."""
        ...


class Launcher(Protocol):
    """Starts attempts. One instance a study; not thread-safe."""

    def launch(self, folder: TrialFolder, plan: Plan) -> Attempt:
        """Start the ranks of the plan that lies in `folder`."""
        ...

    def call(
        self,
        function: str,
        arguments: dict[str, Any],
        waiting: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Run `module:function` where the training half's libraries are; blocks.

        `waiting` is called several times a second and may raise to give up.

        Raises:
            UserError: the function raised one, or the processes for it are killed time and again.
            OSError: the system refused it something, such as a file; raised from the next.
            RuntimeError: it failed otherwise; the message holds its traceback.
        """
        ...

    def take_up(self, folder: TrialFolder) -> Attempt | None:
        """The attempt in `folder` that has outlived an earlier orchestrator; None where none has.

        Where attempts do not outlive their orchestrator, what is left of one is ended.

        Raises:
            UserError: a process of it does not go.
        """
        ...

    def avoid(self, attempt: Attempt) -> bool:
        """Keep later attempts off the devices of one that failed there; False: it cannot choose."""
        ...

    def sweep(self, folder: TrialFolder) -> int:
        """End what an earlier attempt in `folder` left running; how many processes that were.

        Raises:
            UserError: one does not go.
        """
        ...

    def leave(self) -> None:
        """Let what outlives this process go on when it closes: the next one takes it up."""
        ...

    def close(self) -> None:
        """End everything this launcher started; on a cluster, what has nothing to train."""
        ...
