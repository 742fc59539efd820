"""One job of the pool, as the orchestrator sees it: from its folder and from what Slurm says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from orchestrator import words
from orchestrator.launcher.base import Cause, Exit
from orchestrator.launcher.slurm.squeue import JobState
from protocol.folders import JobFolder, TrialFolder
from protocol.letters import post, read
from protocol.messages import Stop

_CAUSES = {
    "TIMEOUT": Cause.MOVED,
    "DEADLINE": Cause.MOVED,
    "PREEMPTED": Cause.MOVED,
    "NODE_FAIL": Cause.MOVED,
    "BOOT_FAIL": Cause.MOVED,
    "REVOKED": Cause.MOVED,
    "GONE": Cause.MOVED,
    "OUT_OF_MEMORY": Cause.MEMORY,
}
_LOOKS = 3  # answers of squeue without a job of the name, after which there is none
# What slurmstepd prints where no control group counts kills, or it limits memory by itself.
_WANT_OF_MEMORY = re.compile(r"exceeded (job |step )?memory limit|oom[-_ ]kill", re.IGNORECASE)
_UNNEEDED = "the study needs it no more"
_LAST_BYTES = 4096
_LATE_SECONDS = 10.0  # for a job's last letters to be seen after Slurm says that it is over


@dataclass
class Job:
    """A member of the pool."""

    folder: JobFolder
    name: str
    nodes: int
    shape: dict[str, Any]  # what it was asked for as, and what it has imported
    reuse: bool = True  # it takes further trials
    id: str | None = None  # Slurm's number, once it is known
    submission: Future[str] | None = None
    state: JobState | None = None  # as last seen
    orders: int = 0  # given so far
    closed: bool = False  # it takes no more
    ended_by_us: bool = False
    began: bool = False  # on all its nodes
    holder: Any = None  # the attempt that has it, until its exit was told
    _looks: int | None = None  # the controller's answers, when it was first missed
    _over_since: float | None = None
    _exits: dict[int, Exit] = field(default_factory=dict)

    @classmethod
    def found(cls, folder: JobFolder) -> Job | None:
        """What an earlier orchestrator left; None where it did not come to submit it."""
        told = read(folder.job)
        if told is None:
            return None
        job = cls(folder, told["name"], told["nodes"], told["shape"], told["reuse"])
        if folder.id.exists():
            job.id = folder.id.read_text().strip()
        for number in count():
            letter = read(folder.order(number))
            if letter is None:
                break
            job.closed = "closed" in letter or not job.reuse
            job.orders = number if "closed" in letter else number + 1
            job.ended_by_us = letter.get("closed") == _UNNEEDED or folder.kill(number).exists()
        return job

    # ------------------------------------------------------------------ what it is doing

    @property
    def over(self) -> bool:
        return self.state is not None and self.state.over

    @property
    def waits(self) -> bool:
        """Whether it has not begun, and may still."""
        return not self.began and not self.over

    @property
    def idle(self) -> bool:
        """Whether it could take a trial now."""
        return self.began and not self.over and not self.closed and self._order_is_done

    @property
    def _order_is_done(self) -> bool:
        return self.orders == 0 or self._exit_of_nodes(self.orders - 1) is not None

    def looks_needed(self, looks: int) -> int:
        """The controller's answers from which on a job whose number nobody knows is gone."""
        if self._looks is None:
            self._looks = looks + _LOOKS
        return self._looks

    def look(self) -> None:
        """Read its letters."""
        if not self.began:
            self.began = all(read(self.folder.began(node)) for node in range(self.nodes))
        if self.over and self._over_since is None:
            self._over_since = time.monotonic()

    @property
    def place(self) -> str:
        """Where it is, for people."""
        name = f"job {self.id or '(being submitted)'}"
        if self.state is None:
            return name
        if self.waits and (self.state.waits or not self.state.nodes):
            return f"{name} waits: {self.state.reason or self.state.state}"
        if not self.state.nodes:  # its nodes said so before squeue did
            return f"{name} begins"
        left = "" if self.state.left is None else f", {words.duration(self.state.left)} left"
        return f"{name} on {self.state.nodes}{left}"

    # ------------------------------------------------------------------ orders

    def give(self, folder: TrialFolder, attempt: int) -> int | None:
        """Order an attempt; the order's number, or None where the job has just closed."""
        number = self.orders
        if not post(self.folder.order(number), {"folder": str(folder.path), "attempt": attempt}):
            self.closed = True
            return None
        self.orders += 1
        self.closed = not self.reuse  # it then closes itself
        return number

    def gave(self, number: int, folder: TrialFolder, attempt: int) -> bool:
        """Whether an order was this attempt of the trial in `folder`."""
        letter = read(self.folder.order(number))
        return (
            letter is not None
            and letter.get("attempt") == attempt
            and Path(letter["folder"]).name == folder.path.name  # a study may be moved
        )

    def close(self) -> None:
        """Have it leave once it has no trial."""
        if not self.closed:
            post(self.folder.order(self.orders), {"closed": _UNNEEDED})
            self.closed = True

    def kill(self, order: int) -> None:
        """End an order's ranks at once."""
        post(self.folder.kill(order), {})

    # ------------------------------------------------------------------ endings

    def exit(self, order: int) -> Exit | None:
        """How an order's ranks went away; None while they are there.

        Where its nodes were told to leave, Slurm's word for the job's end is waited for.
        """
        told, left = self._exit_of_nodes(order), self._left(order)
        if self.over:
            assert self.state is not None
            cause = self._cause(self.state)
            if told is not None:
                return self._with(told, cause or Cause.MOVED) if left else told
            assert self._over_since is not None, "it was looked at"
            if cause is None and time.monotonic() - self._over_since < _LATE_SECONDS:
                return None
            return Exit(vanished=True, word=self.word, cause=cause)
        if told is None or left is None:
            return told
        if left == Stop.DISPLACED:
            return None  # by a preemption, or by somebody's scancel?
        return self._with(told, Cause.MOVED)

    def _with(self, told: Exit, cause: Cause) -> Exit:
        return replace(told, word=self.word, cause=cause)

    def _cause(self, state: JobState) -> Cause | None:
        if state.state == "CANCELLED":
            return None if self.ended_by_us else Cause.CANCELLED
        if state.state == "FAILED" and _WANT_OF_MEMORY.search(self.last_words):
            return Cause.MEMORY
        return _CAUSES.get(state.state)

    @property
    def last_words(self) -> str:
        """The end of what the job printed, Slurm's own remarks included."""
        logs = sorted(self.folder.path.glob("*.out"))
        return logs[0].read_bytes()[-_LAST_BYTES:].decode(errors="replace") if logs else ""

    @property
    def word(self) -> str:
        """How it ended, or that it has to, for people."""
        state = self.state
        if state is None or not state.over:
            return f"the time of job {self.id} is nearly up"
        where = f" on {state.nodes}" if state.nodes else ""
        why = f" ({state.reason})" if state.reason else ""
        how = {
            "CANCELLED": "was cancelled by somebody (scancel)",
            "TIMEOUT": "came to its time limit",
            "PREEMPTED": "had to make room for another",
            "GONE": "is not known to Slurm any more",
        }.get(state.state, f"ended as {state.state}")
        return f"job {state.id}{where} {how}{why}"

    def _left(self, order: int) -> str | None:
        """Why its nodes were told to leave during an order, if they were."""
        exits = [read(self.folder.exit(order, node)) for node in range(self.nodes)]
        return next((exit["left"] for exit in exits if exit and exit["left"]), None)

    def _exit_of_nodes(self, order: int) -> Exit | None:
        """What all nodes together say of an order's ranks."""
        if order in self._exits:
            return self._exits[order]
        exits = [read(self.folder.exit(order, node)) for node in range(self.nodes)]
        told = [exit for exit in exits if exit is not None]
        if len(told) < self.nodes:
            return None
        codes = {int(rank): code for exit in told for rank, code in exit["codes"].items()}
        firsts = [exit["first"] for exit in told if exit["first"] is not None]
        # One that a signal ended is rather the cause than one that tells of another's end.
        first = min(
            firsts, key=lambda rank: (codes[rank] >= 0, codes[rank] == 0, rank), default=None
        )
        self._exits[order] = Exit(
            codes=codes,
            first=first,
            hung=next((exit["hung"] for exit in told if exit["hung"] is not None), None),
            vanished=any(exit["vanished"] for exit in told),
            word=next((exit["word"] for exit in told if exit["word"]), ""),
            cause=Cause.MEMORY if any(exit["memory"] for exit in told) else None,
        )
        return self._exits[order]

    def nodes_at_fault(self) -> Iterator[str]:
        """Of a job that a node's failure ended: its nodes, by name."""
        if self.state is not None and self.state.state in ("NODE_FAIL", "BOOT_FAIL"):
            yield from node_names(self.state.nodes)


def node_names(nodes: str) -> list[str]:
    """The names that Slurm writes as n[1-2,07],m3; names that it writes otherwise stay as one."""
    found = []
    for name in re.findall(r"[^,\[\]]+(?:\[[^\]]*\][^,\[\]]*)*", nodes):
        bracket = re.fullmatch(r"([^\[]*)\[([^\]]*)\]([^\[]*)", name)
        if bracket is None:
            found.append(name)
            continue
        before, ranges, after = bracket.groups()
        parts = ranges.split(",")
        if not all(re.fullmatch(r"\d+(-\d+)?", part) for part in parts):
            found.append(name)
            continue
        for part in parts:
            low, _, high = part.partition("-")
            numbers = range(int(low), int(high or low) + 1)
            found += [f"{before}{number:0{len(low)}}{after}" for number in numbers]
    return found
