"""Runs a study to its end, and on the way lets happen to it what a seed says."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from orchestrator.running.session import DONE
from protocol.folders import StudyFolder
from tests.faults.damage import damage_best, damage_checkpoint, tear_line
from tests.faults.orders import FOLDER, Order, Orders
from tests.faults.points import fill
from tests.faults.roles import found, lives, send
from tests.studio import ROOT, Studio, finish, wait_until

RUN_SECONDS = 240.0  # that a run without faults may take at most
_STOPPED_SECONDS = 1.0  # that a suspended process stands still
_SUSPENDED = (1.0, 15.0)  # seconds that all of a study may be
_NOTICED_SECONDS = 45.0  # after which one that is never woken must be gone
_ORDER_SECONDS = 10.0  # for a process to be there, or to come to a point
_FULL_SECONDS = 3.0  # at most, that a disk is full
_AT_ONCE_SECONDS = 0.05  # between a kill and the resume
_SETTINGS_SECONDS = 60.0  # for a run to come to its first trial, or to say why not
_IN_USE = 3  # the code of a run that finds another one at work

_SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGSTOP")
_POWER_CUT = "power cut"
_TARGETS = ("orchestrator", "fork server", "leader", "rank 0", "rank 1", "loader", "tracking")
_STOPPABLE = ("fork server", "leader", "rank 0", "rank 1", "loader")
# By whom a point is reached; how often in a trial bounds how often it may be passed first.
_AT_START = ("call", "journal", "database", "study.yml")
_OF_TRIAL = ("half an ask", "ask", "plans", "plan", "launch", "outcome", "artifact", "note", "tell")
_OF_TRIAL += ("best link", "forget", "fork", "attempt")
_OF_EPOCH = ("report", "decision", "attribute", "event", "checkpoint", "best", "previous")
_OF_EPOCH += ("validation", "set aside", "sample")
_RARE = ("stop", "cut best", "track")
_LEAVES = ("init", "forward", "backward", "save", "barrier")
_FULL_BEFORE = {
    "tell": "database",
    "checkpoint": "checkpoint",
    "event": "events",
    "plan": "plan",
    "outcome": "outcome",
}
_FULL_AFTER = {"launch": "log"}  # whose next line says so


class Disturber:
    """Lets things happen to one study; which ones, follows from a seed.

    Attributes:
        counts: what was injected, by kind.
        history: the same in order, with seconds.
        problems: what runs said that they must not.
        falls_back: whether a checkpoint was damaged.
        spoilt: files below the study's folder that were, and need not be anywhere else.
    """

    def __init__(self, studio: Studio, seed: int, *, disk: bool) -> None:
        self._studio = studio
        self._seed = seed
        self._disk = disk
        self._ways = [way for way, weight in _WAYS.items() for _ in range(weight)]
        if disk:
            self._ways += [Disturber._fill_disk] * _ON_A_SMALL_DISK
        self._absent = _absent(studio.preset)
        self.counts: Counter[str] = Counter()
        self.history: list[str] = []
        self._began = time.monotonic()
        self.problems: list[str] = []
        self.falls_back = False
        self.spoilt: set[Path] = set()
        self.told = ""  # by all runs

    def run(self, faults: int) -> None:
        """Begin the study, disturb it so many times, and let it come to its end."""
        self._prepare()
        self._random = random.Random(f"{self._seed} begins")
        if self._random.random() < 0.2:
            self._start_two()
        else:
            self._run = self._studio.start()
        for number in range(faults):
            if self._is_over():
                return
            # Of its own for each, so that it does not depend on how the others went.
            self._random = random.Random(f"{self._seed} {number}")
            self._random.choice(self._ways)(self)
        if self._end() != DONE:  # the last fault may have been a request to stop
            self._run = self._studio.start()
            if self._end() != DONE:
                self.problems.append(f"the study ends with code {self._run.returncode}")

    def _prepare(self) -> None:
        folder = self._studio.path.with_name(f"{self._studio.path.name}-orders")
        folder.mkdir()
        self._orders = Orders(folder)
        inside = Path(__file__).parent / "inside"
        self._studio.environment = {
            FOLDER: str(folder),
            "PYTHONPATH": os.pathsep.join((str(inside), str(ROOT))),
        }
        if self._disk:
            self._orders.ballast.symlink_to(self._studio.path / "runs" / "ballast")

    # ------------------------------------------------------------------ runs

    def _is_over(self) -> bool:
        """Whether the study is; the same command again, where a fault has ended the run."""
        if self._run.poll() is None:
            return False
        if self._end() == DONE:
            return True
        self._run = self._studio.start()
        return False

    def _end(self) -> int:
        """How the present run ends."""
        if self._run.stdout.closed:
            return self._run.returncode
        code, output = finish(self._run, timeout=RUN_SECONDS)
        self._note(f"a run has ended with code {code}")
        self.told += output
        if "Traceback" in output or "a defect ended" in output:
            self.problems.append(f"a run ends with code {code} and a traceback")
        return code

    def _kill(self) -> None:
        self._run.kill()
        self._end()

    def _between(self, change: Callable[[], None]) -> None:
        """Do something to the study's files between a kill and the resume."""
        time.sleep(self._random.uniform(0.5, 3.0))
        self._kill()
        self._studio.wait_for_silence()
        change()
        self._run = self._studio.start()

    # ------------------------------------------------------------------ processes

    def _signal_at_any_time(self) -> None:
        target, name = self._one_of(_TARGETS), self._random.choice(_SIGNALS)
        struck = self._some(target, self._random.uniform(0.05, 2.5))
        if struck is None:
            return
        self._count(f"{name} at any time: {target}")
        send(struck.pid, signal.Signals[name])
        self._follow_up(struck.pid, name)

    def _power_cut_at_any_time(self) -> None:
        time.sleep(self._random.uniform(0.05, 4.0))
        self._count("power cut at any time")
        self._cut_power()

    def _cut_power(self) -> None:
        for process in self._studio.processes():
            send(process.pid, signal.SIGKILL)
        self._run.wait()

    def _signal_everything(self) -> None:
        """Asked to end by the system, or suspended, at times for longer than a rank may hang."""
        name, seconds = self._random.choice(("SIGTERM", "SIGSTOP")), self._random.choice(_SUSPENDED)
        time.sleep(self._random.uniform(0.05, 6.0))
        struck = self._studio.processes()
        self._count(f"{name} at any time: everything")
        for process in struck:
            send(process.pid, signal.Signals[name])
        if name == "SIGSTOP":
            time.sleep(seconds)
            for process in struck:
                send(process.pid, signal.SIGCONT)

    def _interrupt_twice(self) -> None:
        time.sleep(self._random.uniform(0.05, 6.0))
        self._count("interrupted twice")
        send(self._run.pid, signal.SIGINT)
        time.sleep(self._random.uniform(0.0, 1.0))
        send(self._run.pid, signal.SIGINT)

    def _stop_for_good(self) -> None:
        """Suspended and never woken: whoever waits for it must notice."""
        target = self._one_of(_STOPPABLE)
        struck = self._some(target, self._random.uniform(0.05, 2.5))
        if struck is None:
            return
        self._count(f"stopped for good: {target}")
        send(struck.pid, signal.SIGSTOP)
        with contextlib.suppress(AssertionError):
            wait_until(
                lambda: not lives(struck) or self._run.poll() is not None, _NOTICED_SECONDS, ""
            )
            return
        if target != "fork server":  # for which nobody waits who has no attempt to begin
            self.problems.append(f"nobody noticed that the {target} was stopped")
        send(struck.pid, signal.SIGCONT)

    def _follow_up(self, struck: int, action: str) -> None:
        if action == _POWER_CUT:
            self._cut_power()
        elif action == "SIGSTOP":
            time.sleep(_STOPPED_SECONDS)
            send(struck, signal.SIGCONT)
        elif struck == self._run.pid and action == "SIGKILL":
            self._run.wait()

    def _some(self, target: str, seconds: float) -> psutil.Process | None:
        """A process of those that a target means, so long after there was one; None of none."""
        with contextlib.suppress(AssertionError):
            wait_until(
                lambda: found(self._studio, self._run.pid, target) or self._run.poll() is not None,
                _ORDER_SECONDS,
                target,
            )
        time.sleep(seconds)
        present = found(self._studio, self._run.pid, target)
        return self._random.choice(present) if present else None

    def _one_of(self, names: Sequence[str]) -> str:
        """One of those that there are in this study."""
        return self._random.choice([name for name in names if name not in self._absent])

    # ------------------------------------------------------------------ commit points

    def _signal_at_point(self) -> None:
        point = self._one_of((*_OF_TRIAL, *_OF_EPOCH, *_RARE))
        self._strike_at(point, most=3 if point in _OF_EPOCH else 0)

    def _signal_at_start(self) -> None:
        self._kill()
        self._strike_at(self._random.choice(_AT_START), start=True)

    def _strike_at(self, point: str, *, most: int = 0, start: bool = False) -> None:
        action = self._random.choice((*_SIGNALS, _POWER_CUT, _POWER_CUT))
        order = Order(
            point=point,
            side=self._random.choice(("before", "after")),
            action="SIGSTOP" if action == _POWER_CUT else action,
            passes=self._random.randint(0, most),
        )
        self._orders.give(order)
        if start:
            self._run = self._studio.start()
        struck = self._obeyed()
        if struck is not None:
            what = _POWER_CUT if action == _POWER_CUT else "signal"
            self._note(f"{action} {order.side} {point}")
            self._count(f"{what} at a commit point: {point}")
            self._follow_up(struck, action)

    def _leave(self) -> None:
        """A rank's process ends by itself, in the midst of something, and says nothing."""
        point, code = self._one_of(_LEAVES), self._random.choice((0, 1, 7))
        order = Order(
            point=point,
            side="before",
            action=f"leave {code}",
            rank=int(self._one_of(("rank 0", "rank 1")).removeprefix("rank ")),
            passes=self._random.randint(0, 6 if point != "init" else 0),
        )
        self._orders.give(order)
        if self._obeyed() is not None:
            self._count(f"a rank leaves in: {point}")

    def _obeyed(self) -> int | None:
        """Which process carried the order out."""
        return self._orders.wait(_ORDER_SECONDS, lambda: self._run.poll() is not None)

    # ------------------------------------------------------------------ files and disks

    def _fill_disk(self) -> None:
        where, what = self._random.choice([*_FULL_BEFORE.items(), *_FULL_AFTER.items(), ("", "")])
        if where:
            side = "before" if where in _FULL_BEFORE else "after"
            self._orders.give(Order(point=where, side=side, action="fill"))
            if self._obeyed() is None:
                return
        else:
            time.sleep(self._random.uniform(0.05, 3.0))
            fill(self._orders.ballast)
        self._count(f"full disk: {what or 'at any time'}")
        time.sleep(self._random.uniform(0.5, _FULL_SECONDS))
        self._orders.ballast.resolve().unlink(missing_ok=True)

    def _damage_checkpoint(self) -> None:
        self._between(lambda: self._damage(damage_checkpoint))
        self.falls_back = True

    def _damage_best(self) -> None:
        def damage() -> None:
            if path := damage_best(self._random, self._studio.folder):
                self.spoilt.add(path.relative_to(self._studio.folder.path))
                self._count("best weights damaged")

        self._between(damage)

    def _tear_line(self) -> None:
        self._between(lambda: self._damage(tear_line))

    def _damage(self, way: Callable[[random.Random, StudyFolder], str]) -> None:
        if done := way(self._random, self._studio.folder):
            self._count(done)

    def _count(self, kind: str) -> None:
        self.counts[kind] += 1
        self._note(kind)

    def _note(self, what: str) -> None:
        self.history.append(f"{time.monotonic() - self._began:.1f} s: {what}")

    # ------------------------------------------------------------------ clocks, starts, places

    def _set_clock(self) -> None:
        time.sleep(self._random.uniform(0.05, 2.0))
        by = self._random.choice((-1, 1)) * self._random.choice((5.0, 3600.0, 86400.0 * 400))
        self._orders.set_clock(self._orders.clock + by)
        self._count("clock set back" if by < 0 else "clock set forward")

    def _move(self) -> None:
        def move() -> None:
            path = self._studio.path
            self._studio.path = path.rename(path.with_name(f"{path.name}-moved"))
            self._count("moved between kill and resume")

        if not self._disk:
            self._between(move)

    def _resume_at_once(self) -> None:
        time.sleep(self._random.uniform(0.05, 3.0))
        self._kill()
        time.sleep(_AT_ONCE_SECONDS)
        self._run = self._studio.start()
        self._count("resumed 50 ms after the kill")

    def _kill_and_start_two(self) -> None:
        self._kill()
        self._start_two()

    def _start_two(self) -> None:
        """Of two that begin in the same instant one goes on, and the other says why it does not."""
        one, other = self._studio.start(), self._studio.start()
        wait_until(
            lambda: one.poll() is not None or other.poll() is not None,
            _SETTINGS_SECONDS,
            "end of one of two runs of the same study",
        )
        self._run, refused = (other, one) if one.poll() is not None else (one, other)
        self._count("two started at once")
        code, output = finish(refused)
        self.told += output
        if code != _IN_USE:
            self.problems.append(f"the one that came second ends with code {code}")


def _absent(preset: Mapping[str, Any]) -> set[str]:
    """The targets and points that a study with these settings does not come to."""
    absent = set()
    if "tracking" not in preset:
        absent |= {"tracking", "track"}
    if not preset["pictures"]:
        absent |= {"artifact"}
    if not preset["recipe"]["loader_workers"]:
        absent |= {"loader"}
    if preset["parallel"].get("ranks", preset["parallel"].get("stages")) == 1:
        absent |= {"rank 1", "barrier"}
    if preset["pruner"]["kind"] == "none":
        absent |= {"decision", "stop", "cut best"}
    return absent


# What may happen, and how often beside the others.
_WAYS: dict[Callable[[Disturber], None], int] = {
    Disturber._signal_at_any_time: 3,
    Disturber._signal_everything: 1,
    Disturber._interrupt_twice: 1,
    Disturber._power_cut_at_any_time: 1,
    Disturber._stop_for_good: 1,
    Disturber._signal_at_point: 5,
    Disturber._signal_at_start: 1,
    Disturber._leave: 2,
    Disturber._damage_checkpoint: 2,
    Disturber._damage_best: 1,
    Disturber._tear_line: 1,
    Disturber._set_clock: 1,
    Disturber._move: 1,
    Disturber._resume_at_once: 1,
    Disturber._kill_and_start_two: 1,
}
_ON_A_SMALL_DISK = 12  # times that it is filled
