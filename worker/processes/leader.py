"""The leader of one attempt: forks the ranks, watches them, and takes them along when it goes.

The leader is a session of its own, so one signal reaches all its descendants. It ends the whole
group when the orchestrator is gone (end of file on the lifeline), and shortly after the first
rank failed. The ranks end when the leader is gone: by the kernel's parent-death signal on Linux
(sound here, because the leader's only thread is the one that forks) and by their own watchdog on
the lifeline.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import mmap
import os
import select
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import psutil

from protocol.errors import UserError, chain, packed
from protocol.files import write_json
from protocol.folders import TrialFolder
from worker.processes.stacks import Stacks
from worker.scripts.child import adopt_orphans, end_descendants

RunRank = Callable[[TrialFolder, int, Callable[[], None]], int]  # its exit code

GRACE_SECONDS = 3.0  # for the peers of a failed rank to write down what they saw
GRACE_AFTER_KILL_SECONDS = 0.3  # where they have nothing to say: a signal is cause enough
LOOK_SECONDS = 1.0  # between looks at the ranks' progress
SUSPENDED_SECONDS = 1.0  # that a look comes too late from which on this process was stopped itself


class ProgressBoard:
    """When each rank last made progress, in memory shared across forks."""

    def __init__(self, ranks: Sequence[int]) -> None:
        self._memory = mmap.mmap(-1, 9 * len(ranks))
        self._places = {rank: place for place, rank in enumerate(ranks)}
        self._ranks = len(ranks)
        self.begun = time.monotonic()
        for rank in ranks:
            self.tick(rank)

    def tick(self, rank: int) -> None:
        struct.pack_into("d", self._memory, 8 * self._places[rank], time.monotonic())

    def forgive(self, seconds: float) -> None:
        """Leave a time out of account in which nobody could make progress."""
        for place, tick in enumerate(struct.unpack_from(f"{self._ranks}d", self._memory)):
            struct.pack_into("d", self._memory, 8 * place, min(time.monotonic(), tick + seconds))

    def end(self, rank: int) -> None:
        """The rank has come to its end by itself, and told how."""
        self._memory[8 * self._ranks + self._places[rank]] = 1

    def ended(self, rank: int) -> bool:
        return self._memory[8 * self._ranks + self._places[rank]] == 1

    def slowest(self, ranks: Collection[int], now: float) -> tuple[int, float]:
        """Which of `ranks` made its last progress longest before `now`, and by how many seconds."""
        ticks = struct.unpack_from(f"{self._ranks}d", self._memory)
        oldest = min(ranks, key=lambda rank: ticks[self._places[rank]])
        return oldest, now - ticks[self._places[oldest]]


@dataclass
class RankProcesses:
    """The ranks of one attempt, as their leader sees them."""

    pids: dict[int, int]  # rank by process id, of those still there
    ended: Callable[[int], bool]  # whether a rank told how it ended, or left as by os._exit(0)
    codes: dict[int, int] = field(default_factory=dict)
    first: int | None = None
    hung: int | None = None

    def reap(self) -> None:
        """Collect every rank that has ended."""
        while self.pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            rank = self.pids.pop(pid, None)
            if rank is None:
                continue
            self.codes[rank] = os.waitstatus_to_exitcode(status)
            # Nobody leaves without a word because another went: that one is the cause.
            quiet = self.codes[rank] == 0 and not self.ended(rank)
            if quiet or (self.codes[rank] != 0 and self.first is None):
                self.first = rank

    def kill(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def lead_attempt(
    *,
    lifeline: int,
    status: int,
    folder: str,
    ranks: Sequence[int],
    hang_seconds: float,
    stacks_file: str,
    record: dict[str, Any] | None,
    script: bool = False,
) -> None:
    """Run an attempt's ranks to their end, and report their exit codes on `status`.

    Args:
        lifeline: its end of file ends the group.
        status: where to report to.
        folder: of the trial.
        ranks: of the attempt, that this machine has.
        hang_seconds: without progress before a rank counts as hung.
        stacks_file: where the ranks then stand is written to it.
        record: what attempt.json is to say of the attempt beside this process; None where nobody
            looks for processes in the trial's folder, for they are on another machine.
        script: whether the ranks run a command of the user's.
    """
    if _orchestrator_is_gone(lifeline):
        return  # while this was waiting to be forked; another may be at work in the folder
    place = TrialFolder(Path(folder))
    myself = _record()
    if record is not None:
        write_json(place.attempt, myself | record)
    _report(status, myself)
    wake = _wake_on_child()
    board, stacks = ProgressBoard(ranks), Stacks(ranks)
    if script:
        adopt_orphans()
    run = _script_rank if script else _training_rank
    group = RankProcesses(
        {_fork_rank(place, rank, board, stacks, lifeline, status, run): rank for rank in ranks},
        board.ended,
    )

    def before_killing() -> None:
        if not script:  # which the signal would end
            stacks.ask(group.pids, Path(stacks_file))

    _watch(group, board, wake, lifeline, hang_seconds, before_killing)
    if script:
        end_descendants()
    _report(status, {"codes": group.codes, "first": group.first, "hung": group.hung})


def _record() -> dict[str, Any]:
    """By what this process, and so its session, is known, also when the clock is set."""
    since_boot = psutil.Process().create_time() - psutil.boot_time()
    return {"pid": os.getpid(), "since_boot": since_boot}


def _watch(
    group: RankProcesses,
    board: ProgressBoard,
    wake: int,
    lifeline: int,
    hang_seconds: float,
    before_killing: Callable[[], None] = lambda: None,
) -> None:
    deadline: float | None = None
    timeout = 0.0
    looked = board.begun  # all may have been suspended between that and the first look
    while True:
        group.reap()
        if not group.pids:
            return
        # One reading for all that follows: this process may be stopped between any two lines.
        now = time.monotonic()
        late, looked = now - looked - timeout, now
        if late > SUSPENDED_SECONDS:  # with everybody else, most likely: a lid, a frozen container
            board.forgive(late)
        if group.first is not None and deadline is None:
            killed = group.codes[group.first] < 0
            deadline = now + (GRACE_AFTER_KILL_SECONDS if killed else GRACE_SECONDS)
        if deadline is not None and now > deadline:
            group.kill()
        slowest, seconds = board.slowest(group.pids.values(), now)
        if seconds > hang_seconds and group.hung is None and group.first is None:
            group.hung = slowest
            _try(before_killing)
            group.kill()
        timeout = min(LOOK_SECONDS if deadline is None else 0.1, hang_seconds / 4)
        readable, _, _ = select.select([wake, lifeline], [], [], timeout)
        if lifeline in readable:
            _try(end_descendants)  # of a command that has made sessions of its own
            os.killpg(0, signal.SIGKILL)
        if wake in readable:
            os.read(wake, 4096)


def _try(action: Callable[[], None]) -> None:
    """Do what is for people alone: a full disk, say, must not keep the group alive."""
    try:
        action()
    except Exception:
        print_trace()


def _wake_on_child() -> int:
    """A descriptor that becomes readable when a child ends."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _fork_rank(
    folder: TrialFolder,
    rank: int,
    board: ProgressBoard,
    stacks: Stacks,
    lifeline: int,
    status: int,
    run: RunRank,
) -> int:
    leader = os.getpid()
    pid = os.fork()
    if pid != 0:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(status)
        _die_with_parent(leader)
        _redirect_output(folder.rank_log(rank))
        stacks.answer(rank)
        _die_with_orchestrator(lifeline)
        code = run(folder, rank, lambda: board.tick(rank))
        board.end(rank)
    except BaseException:
        print_trace()
    _leave(code)


def _training_rank(folder: TrialFolder, rank: int, tick: Callable[[], None]) -> int:
    from worker.processes.rank import run_rank

    return run_rank(folder, rank, tick)


def _script_rank(folder: TrialFolder, rank: int, tick: Callable[[], None]) -> int:
    from worker.scripts.rank import run_script_rank

    return run_script_rank(folder, rank, tick)


def print_trace() -> None:
    """Print the traceback of what is being handled, if the log has room for it."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


def flush_output() -> None:
    """Have what was printed come to the log, if that has room for it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()


def _leave(code: int) -> NoReturn:
    flush_output()
    os._exit(code)


def _die_with_parent(parent: int) -> None:
    ask_for_death_signal()
    if os.getppid() != parent:
        os._exit(1)


def ask_for_death_signal() -> None:
    """Let the kernel kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _die_with_orchestrator(lifeline: int) -> None:
    def wait() -> None:
        select.select([lifeline], [], [])
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _redirect_output(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def answer_call(
    *, lifeline: int, status: int, function: str, arguments: dict[str, Any], log: str
) -> None:
    """Run one function and report its result, or why there is none, on `status`."""
    if _orchestrator_is_gone(lifeline):
        return
    _report(status, _record())
    _redirect_output(Path(log))
    threading.Thread(target=_end_group_at, args=(lifeline,), daemon=True).start()
    module, _, name = function.partition(":")
    try:
        called: Callable[..., Any] = getattr(importlib.import_module(module), name)
        answer = _packed({"result": called(**arguments)})
    except UserError as error:
        answer = _packed({"user_error": packed(error)})
    except Exception as error:
        answer = _packed({"error": traceback.format_exc(), "system": _said_by_system(error)})
    _send(status, answer)


def _said_by_system(error: Exception) -> list[Any] | None:
    """What the system said, where that is what an error comes from: number, words, file."""
    for cause in chain(error, contexts=False):
        if isinstance(cause, OSError) and cause.errno is not None:
            name = None if cause.filename is None else os.fsdecode(cause.filename)
            return [cause.errno, cause.strerror, name]
    return None


def _end_group_at(lifeline: int) -> None:
    select.select([lifeline], [], [])
    os.killpg(0, signal.SIGKILL)


def _orchestrator_is_gone(lifeline: int) -> bool:
    return bool(select.select([lifeline], [], [], 0)[0])


def _report(status: int, message: dict[str, Any]) -> None:
    _send(status, _packed(message))


def _packed(message: dict[str, Any]) -> bytes:
    return (json.dumps(message) + "\n").encode()


def _send(status: int, data: bytes) -> None:
    while data:
        data = data[os.write(status, data) :]
