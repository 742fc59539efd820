"""A trial's account, from its events: what each attempt trained, and what of it was lost.

launched ── started ─────────── step ≤ where the next attempt began ───── last word ── left
   waiting  │ kept, pruned, … as the trial ended                 │  lost and repeated  │

An attempt that goes on at step s repeats whatever earlier ones did behind s. When that was is known
to the step where an event tells it, and in between by the pace of training.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.ledger.account import Account, use_of
from protocol.folders import TrialFolder
from protocol.messages import Ending, load_outcome

NOTE = "ledger"  # the user attribute in which an ended trial's account is kept
_CLOSING = ("stopped", "finished", "nonfinite")  # behind which no step is taken


@dataclass
class _Attempt:
    """What is known of one."""

    devices: int
    began: float  # the first word of it
    seen: float  # the last one, or when it was found gone
    started: float | None = None  # when its first step could be taken
    steps: list[tuple[float, int]] = field(default_factory=list)  # when, and how many by then
    closed: bool = False  # it said that it takes no further step
    over: bool = False  # its processes are known to be gone
    joules: float | None = None
    peak: int = 0

    def hear(self, event: dict[str, Any]) -> None:
        self.seen = max(self.seen, event["time"])
        kind = event["event"]
        if kind == "started" and self.started is None:
            self.started = event["time"]
        if (step := event.get("resumed_step", event.get("step"))) is not None:
            self.steps.append((event["time"], step))
        self.closed = self.closed or kind in _CLOSING
        self.over = self.over or kind == "left"
        if kind == "used":
            self.peak = max(self.peak, *event["peaks"].values(), 0)
            if event["joules"] is not None:
                self.joules = (self.joules or 0.0) + event["joules"]

    @property
    def first_step(self) -> int | None:
        return self.steps[0][1] if self.steps else None

    def passed(self, step: float) -> float:
        """When it had taken `step` steps and was done with all that belongs to them."""
        before = [place for place in self.steps if place[1] <= step]
        if not before:
            return self.steps[0][0]
        moment, at = before[-1]
        after = next((place for place in self.steps if place[1] > step), None)
        if after is not None:
            return moment + (step - at) / (after[1] - at) * (after[0] - moment)
        if self.closed:
            return self.seen
        if step == at:
            return moment
        pace = self._pace()
        if pace is None:
            return self.seen
        ahead = moment + (step - at) * pace
        return min(self.seen, ahead) if self.over else ahead  # it has lived until then

    def _pace(self) -> float | None:
        """Seconds a step; None where no event tells."""
        (first, at), (last, by) = self.steps[0], self.steps[-1]
        return (last - first) / (by - at) if by > at else None

    def account(self, use: str, bound: float) -> Account:
        """What it went into.

        Args:
            use: of what counts.
            bound: the steps that a later attempt built on.
        """
        done = self.seen
        if self.started is not None and bound < math.inf:
            done = max(self.started, self.passed(bound))
        lasted = max(done, self.seen) - self.began
        whole = lasted * self.devices
        times = {"waiting": whole}
        if self.started is not None:
            waiting = (self.started - self.began) * self.devices
            kept = (done - self.started) * self.devices
            times = {"waiting": waiting, use: kept, "repeated": whole - waiting - kept}
        metered = {} if self.joules is None else {"joules": self.joules, "metered": whole}
        return Account(lasted=lasted, peak=self.peak, **times, **metered)


def trial_account(
    folder: TrialFolder, ending: Ending | None, watched_since: float = math.inf
) -> Account:
    """A trial's account as its files tell it.

    Args:
        folder: the trial's.
        ending: how the trial ended; None where it has not.
        watched_since: since when somebody would say that an attempt is gone, in seconds since the
            epoch: one that was launched later is there now, unless that was said.
    """
    attempts = _attempts(folder)
    if attempts and attempts[-1].began >= watched_since and not attempts[-1].over:
        attempts[-1].seen = max(attempts[-1].seen, time.time())
    total, bound = Account(), math.inf
    for attempt in reversed(attempts):
        total += attempt.account(use_of(ending), bound)
        if attempt.first_step is not None:
            bound = min(bound, attempt.first_step)
    return total


def kept_account(notes: Mapping[str, Any]) -> Account | None:
    """What the study keeps of an ended trial's account among its attributes, if it does."""
    kept = notes.get(NOTE)
    return Account.unpacked(kept) if isinstance(kept, Mapping) else None


def ended_account(folder: TrialFolder) -> Account:
    """The account of a trial whose outcome is on the disk, or of what there is of it."""
    outcome = load_outcome(folder.outcome)
    return trial_account(folder, None if outcome is None else outcome.ending)


def _attempts(folder: TrialFolder) -> list[_Attempt]:
    """In order."""
    found: dict[int, _Attempt] = {}
    devices = _Devices(folder)
    for event in _lines(folder.events):
        number = event["attempt"]
        if number not in found:
            moment = event["time"]
            found[number] = _Attempt(devices=devices.of(event), began=moment, seen=moment)
        found[number].hear(event)
    return [found[number] for number in sorted(found)]


class _Devices:
    """How many an attempt had: its first word says so, and of earlier versions its plan."""

    def __init__(self, folder: TrialFolder) -> None:
        self._folder = folder
        self._planned: dict[int, int] | None = None

    def of(self, first: dict[str, Any]) -> int:
        if "devices" in first:
            return int(first["devices"])
        if self._planned is None:
            plans = [*_lines(self._folder.plans)] or [*_whole(self._folder.plan)]
            self._planned = {plan["attempt"]: _count(plan) for plan in plans}
        return self._planned.get(first["attempt"], 1)


def _count(plan: dict[str, Any]) -> int:
    gpus = sum(device != "cpu" for device in plan.get("devices", []))
    return gpus or int(plan.get("nodes") or 1)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of JSON; without validation, which would take ten times as long."""
    with contextlib.suppress(OSError):
        yield from _parsed(path.read_bytes().splitlines())


def _whole(path: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(OSError):
        yield from _parsed([path.read_bytes()])


def _parsed(texts: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for text in texts:
        with contextlib.suppress(ValueError):  # a kill has torn it
            yield json.loads(text)
