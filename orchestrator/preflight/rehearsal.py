"""Trying a configuration for two steps, as an attempt of its own, to see what it needs."""

from __future__ import annotations

import select
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.launcher.base import Exit, Launcher
from orchestrator.running import memory_rule
from orchestrator.running.slots import Slot
from orchestrator.running.trial import make_plan
from orchestrator.running.verdict import judge
from orchestrator.settings.schema import Settings
from protocol.folders import StudyFolder
from protocol.messages import Ending, Measured, Plan, read_events, save_message

GIB = 2**30
_LOOK_SECONDS = 0.2
_NEVER = 1e9  # seconds


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """How two steps and a validation batch of one configuration went."""

    ending: Literal["fits", "memory", "failed"]
    reason: str = ""
    measured: list[Measured] = field(default_factory=list)  # a rank each, where it fits

    @property
    def size(self) -> float:
        """Bytes of the rank that needs most; infinite where they are not there, -1 unknown."""
        if self.ending == "fits":
            return float(max(sum(rank.peaks.values()) for rank in self.measured))
        return float("inf") if self.ending == "memory" else -1.0

    @property
    def seconds(self) -> float:
        """Of an optimiser step."""
        return max((rank.seconds for rank in self.measured), default=0.0)


@dataclass(kw_only=True)
class Rehearsal:
    """Launches rehearsals, one after the other, with the ranks and devices of a real trial."""

    folder: StudyFolder
    name: str  # of the study
    settings: Settings
    launcher: Launcher
    slot: Slot
    waiting: Callable[[], None]  # called several times a second; may raise to give up
    started: float = field(default_factory=time.monotonic)

    def __call__(self, point: dict[str, Any], micro_batch: int | None = None) -> Rehearsed:
        """How the searched values `point` do, with the recipe's own values beside them."""
        place = self.folder.rehearsal
        self._clear()
        place.path.mkdir()
        plan = make_plan(
            self.settings,
            self.slot,
            study=self.name,
            trial=0,
            attempt=0,
            seed=self.settings.seed,
            recipe={**self.settings.recipe, **point},
            micro_batch=micro_batch,
            checkpoint_seconds=_NEVER,
            pictures=0,
            rehearsal=True,
        )
        save_message(place.plan, plan)
        try:
            return self._result(plan, self._run(plan))
        finally:
            self._clear()

    def _run(self, plan: Plan) -> Exit:
        attempt = self.launcher.launch(self.folder.rehearsal, plan)
        try:
            while (exit := attempt.poll()) is None:
                select.select([attempt.fileno()], [], [], _LOOK_SECONDS)
                self.waiting()
        finally:
            attempt.kill()
        return exit

    def _result(self, plan: Plan, exit: Exit) -> Rehearsed:
        events = read_events(self.folder.rehearsal.events)
        measured = [event for event in events if isinstance(event, Measured)]
        if len(measured) == plan.ranks:
            return Rehearsed(ending="fits", measured=measured)
        verdict = judge(events, exit, None, limited=memory_rule.limited(plan))
        reason = verdict.reason if verdict else "the processes went away without a word"
        if verdict is not None and verdict.ending is Ending.MEMORY:
            return Rehearsed(ending="memory", reason=reason)
        if "SIGKILL" in reason:
            # Nobody else is likely to have chosen just this process.
            return Rehearsed(ending="memory", reason=f"{reason}, most likely for want of memory")
        return Rehearsed(ending="failed", reason=reason)

    def _clear(self) -> None:
        self.launcher.sweep(self.folder.rehearsal)
        shutil.rmtree(self.folder.rehearsal.path, ignore_errors=True)
