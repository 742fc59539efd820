"""The program on each node of a job: takes its share of one trial after the other.

Started by srun as `python -m orchestrator.launcher.slurm.member JOB_FOLDER`. It has what the
orchestrator of a single machine has, a fork server and the lifelines of its ranks: if it goes, they
go. The first node decides when the job leaves, the others follow.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from orchestrator.launcher.base import Exit
from orchestrator.launcher.local import LocalAttempt, LocalLauncher
from orchestrator.launcher.preload import modules_of
from orchestrator.launcher.slurm.memory import kills_for_memory
from protocol.files import read_fresh
from protocol.folders import JobFolder, TrialFolder
from protocol.letters import post, post_text, read
from protocol.messages import Plan, Stop
from protocol.script import SCRIPT

TIME_IS_UP = signal.SIGUSR2  # comes launcher.signal_seconds before the job's limit
WANTED_BACK = signal.SIGTERM  # a preemption, or somebody's scancel; the end follows in seconds
_WHY = {TIME_IS_UP: Stop.EXPIRED, WANTED_BACK: Stop.DISPLACED}
_LOOK_SECONDS = 0.1
_PEERS_SECONDS = 1.0  # between looks whether a trial's ranks on other nodes have failed
_GRACE_SECONDS = 5.0  # for ranks to tell what they saw of that
_PLAN_SECONDS = 120.0  # for a plan to be seen that was written before its order


class Member:
    """One node of a job.

    Args:
        job: its folder.
        node: counted from 0.
    """

    def __init__(self, job: JobFolder, node: int) -> None:
        told = read(job.job)
        assert told is not None, "it is written before the job is submitted"
        self._job, self._node = job, node
        self._nodes: int = told["nodes"]
        self._reuse: bool = told["reuse"]
        self._idle_seconds: float = told["idle_seconds"]
        self._signals: list[int] = []
        self._launcher = LocalLauncher(
            log=job.log(node),
            preload=modules_of(told["shape"]["family"], told["shape"]["stages"]),
            scripts=told["shape"]["family"] == SCRIPT,
            deaf_to=(TIME_IS_UP, WANTED_BACK),
        )

    def run(self) -> None:
        """Take orders until the job leaves."""
        for number in _WHY:
            signal.signal(number, lambda number, _: self._signals.append(number))
        if not post(
            self._job.began(self._node), {"host": socket.gethostname(), "pid": os.getpid()}
        ):
            return  # Slurm runs the job once more, whose trial went to another meanwhile
        order = 0
        self._launcher.start()
        try:
            while (letter := self._next(order)) is not None:
                self._train(order, TrialFolder(Path(letter["folder"])), letter["attempt"])
                order += 1
                if not self._reuse:
                    self._close(order, "one trial a job")
        finally:
            self._launcher.close()

    def _next(self, order: int) -> dict[str, Any] | None:
        """The next order; None where the job is to leave."""
        since = time.monotonic()
        while (letter := read(self._job.order(order))) is None:
            if self._signals:
                self._close(order, self._why.value)
            elif time.monotonic() - since > self._idle_seconds:
                self._close(order, "idle")
            time.sleep(_LOOK_SECONDS)
        return None if "closed" in letter else letter

    def _close(self, order: int, why: str) -> None:
        """Take no further order, unless one has just come."""
        if self._node == 0:
            post(self._job.order(order), {"closed": why})

    @property
    def _why(self) -> Stop:
        """What the first signal said."""
        return _WHY[signal.Signals(self._signals[0])]

    def _train(self, order: int, folder: TrialFolder, number: int) -> None:
        plan = _plan_of(folder, number)
        killed_before = kills_for_memory()
        attempt = self._launcher.launch_share(folder, plan, self._node)
        exit = self._follow(attempt, order, folder)
        post(
            self._job.exit(order, self._node),
            {
                "codes": exit.codes,
                "first": exit.first,
                "hung": exit.hung,
                "vanished": exit.vanished,
                "word": exit.word,
                "left": self._why.value if self._signals else None,
                "memory": kills_for_memory() > killed_before,
            },
        )

    def _follow(self, attempt: LocalAttempt, order: int, folder: TrialFolder) -> Exit:
        asked, looked, give_up = False, time.monotonic(), float("inf")
        while (exit := attempt.poll()) is None:
            select.select([attempt], [], [], _LOOK_SECONDS)
            if self._signals and not asked:
                asked = True
                if self._node == 0:  # rank 0 looks, and all then agree on a step
                    post_text(folder.stop, self._why.value)
            if read_fresh(self._job.kill(order)) is not None or self._is_given_up:
                attempt.kill()
            now = time.monotonic()
            if self._nodes > 1 and now - looked > _PEERS_SECONDS:
                looked = now
                if give_up == float("inf") and self._a_peer_failed(order):
                    give_up = now + _GRACE_SECONDS
            if now > give_up:  # they would wait for a reduction that never ends
                attempt.kill()
        return exit

    @property
    def _is_given_up(self) -> bool:
        """Whether the job's folder was put away: its trial goes on elsewhere."""
        try:
            self._job.job.stat()
        except FileNotFoundError:
            return True
        except OSError:  # a file system that is away for a moment
            return False
        return False

    def _a_peer_failed(self, order: int) -> bool:
        others = [node for node in range(self._nodes) if node != self._node]
        exits = [read(self._job.exit(order, node)) for node in others]
        return any(exit and (exit["first"] is not None or exit["vanished"]) for exit in exits)


def _plan_of(folder: TrialFolder, number: int) -> Plan:
    """The plan of an attempt, once this node sees it."""
    deadline = time.monotonic() + _PLAN_SECONDS
    while True:
        text = read_fresh(folder.plan)
        if text:
            plan = Plan.model_validate_json(text)
            if plan.attempt == number:
                return plan
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder.plan} of attempt {number} is not seen on this node")
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    Member(JobFolder(Path(sys.argv[1])), int(os.environ.get("SLURM_NODEID", "0"))).run()
