"""Trying a configuration for two steps, as an attempt of its own, to see what it needs."""

from __future__ import annotations

import select
import shutil
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.launcher.base import Exit
from orchestrator.running import memory_rule
from orchestrator.running.plan import make_plan
from orchestrator.running.session import Session
from orchestrator.running.verdict import judge
from orchestrator.settings.space import Space
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


@dataclass
class Rehearsal:
    """Launches rehearsals, one after the other, with the ranks and devices of a real trial."""

    session: Session
    space: Space
    started: float = field(default_factory=time.monotonic)

    def __call__(self, point: dict[str, Any], micro_batch: int | None = None) -> Rehearsed:
        """How the searched values `point` do, with the recipe's own values beside them."""
        session, place = self.session, self.session.folder.rehearsal
        self._clear()
        place.path.mkdir()
        plan = make_plan(
            session.settings,
            session.slots[0],
            study=session.name,
            trial=0,
            attempt=0,
            seed=session.settings.seed,
            recipe=self.space.recipe(point),
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
        attempt = self.session.launcher.launch(self.session.folder.rehearsal, plan)
        try:
            while (exit := attempt.poll()) is None:
                select.select([attempt.fileno()], [], [], _LOOK_SECONDS)
                self.session.waiting()
        finally:
            attempt.kill()
        return exit

    def _result(self, plan: Plan, exit: Exit) -> Rehearsed:
        events = read_events(self.session.folder.rehearsal.events)
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
        self.session.launcher.sweep(self.session.folder.rehearsal)
        shutil.rmtree(self.session.folder.rehearsal.path, ignore_errors=True)
