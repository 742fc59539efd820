"""Attempts on this machine, forked from a server that has torch imported already.

Starting a trial costs a fork instead of an import of torch; see benchmarks/launch.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.launcher.base import Attempt, Exit
from orchestrator.launcher.environment import server_environment
from orchestrator.launcher.processes import StandingStill, end_session, sweep
from protocol.doors import FORK_SERVER, RANK, SCRIPT_RANK, WARM, Call
from protocol.errors import UserError, unpacked
from protocol.folders import TrialFolder
from protocol.messages import Plan

PATIENCE = 60.0  # seconds that a call's processes, or the server, may be stopped
KILL_SECONDS = 3.0  # for a group to go by itself once its lifeline is closed
GIVE_UP_SECONDS = 10.0  # from then on nothing of it is waited for
CALLS = 3  # times that a call is made whose server is killed before it begins
PRELOADED = (Call.CHECK_SETTINGS.module,)
# RANK would bring all; one by one a call need not wait for all of them.
PRELOADED_FOR_ATTEMPTS = (
    "numpy.random",
    "torch._dynamo",
    RANK,
    WARM,
)


class LocalLauncher:
    """Launches every attempt through one fork server, which is started anew when it has died.

    Args:
        log: what the server and the functions that are called print.
        preload: modules to import before the first fork.
        trains: attempts will be launched; otherwise what only they need is not imported ahead.
        scripts: attempts are commands of the user's, which need none of our libraries.
        deaf_to: signals that mean nothing to the attempts' processes.
    """

    def __init__(
        self,
        *,
        log: Path,
        preload: tuple[str, ...] = (),
        trains: bool = True,
        scripts: bool = False,
        deaf_to: tuple[signal.Signals, ...] = (),
    ) -> None:
        self._log = log
        self._deaf_to = ",".join(str(int(number)) for number in deaf_to)
        for_attempts = (SCRIPT_RANK,) if scripts else PRELOADED_FOR_ATTEMPTS
        first = () if scripts else PRELOADED
        self._preload = (*first, *preload, "--", *(for_attempts if trains else ()))
        self._scripts = scripts
        self._server: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._attempts: weakref.WeakSet[LocalAttempt] = weakref.WeakSet()

    def start(self) -> None:
        """Start the server; it imports while the caller goes on."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-P",  # a folder of the user's called data or models must not shadow ours
                    "-m",
                    FORK_SERVER,
                    str(theirs.fileno()),
                    self._deaf_to,
                    *self._preload,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                env=server_environment(scripts=self._scripts),
                start_new_session=True,  # a ^C in the terminal is the orchestrator's business
            )
        self._requests = ours

    def launch(self, folder: TrialFolder, plan: Plan) -> LocalAttempt:
        record = {"attempt": plan.attempt, "host": socket.gethostname()}
        return self._launch(folder, plan, range(plan.ranks), folder.stacks(plan.attempt), record)

    def launch_share(self, folder: TrialFolder, plan: Plan, node: int) -> LocalAttempt:
        """Start the ranks that this machine has as one of the plan's nodes."""
        stacks = folder.stacks(plan.attempt, node)
        return self._launch(folder, plan, plan.ranks_of(node), stacks, None)

    def _launch(
        self,
        folder: TrialFolder,
        plan: Plan,
        ranks: range,
        stacks: Path,
        record: dict[str, Any] | None,
    ) -> LocalAttempt:
        attempt = LocalAttempt(plan.hang_seconds)
        request = {
            "folder": str(folder.path),
            "ranks": list(ranks),
            "hang_seconds": plan.hang_seconds,
            "stacks_file": str(stacks),
            "record": record,
            "script": plan.script is not None,
        }
        self._send("attempt", request, attempt)
        return attempt

    def call(
        self,
        function: str,
        arguments: dict[str, Any],
        waiting: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        request = {"function": function, "arguments": arguments, "log": str(self._log)}
        for _ in range(CALLS):
            pending = LocalAttempt(PATIENCE)
            self._send("call", request, pending)
            try:
                while pending.poll() is None:
                    select.select([pending], [], [], 0.2)
                    waiting()
            finally:
                pending.kill()
            if pending.pid is not None:
                return _result(pending.reports, function, self._log)
        raise UserError(
            f"the process that trials are forked from was killed {CALLS} times before it answered; "
            f"see {self._log}"
        )

    def take_up(self, folder: TrialFolder) -> None:
        sweep(folder)

    def avoid(self, attempt: Attempt) -> bool:
        return False

    def leave(self) -> None:
        """Nothing outlives it."""

    def sweep(self, folder: TrialFolder) -> int:
        return sweep(folder)

    def close(self) -> None:
        for attempt in list(self._attempts):
            attempt.kill()
        self._end_server()

    def _end_server(self) -> None:
        """End the server, which knows nothing that could get lost; its attempts go on."""
        if self._requests is not None:
            self._requests.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._server = self._requests = None

    def _send(self, kind: str, request: dict[str, Any], attempt: LocalAttempt) -> None:
        self._attempts.add(attempt)
        request_file = _file_with(json.dumps({"kind": kind, **request}).encode())
        descriptors = [*attempt.server_ends, request_file]
        try:
            try:
                self._send_descriptors(kind, descriptors)
            except (BrokenPipeError, ConnectionResetError):  # it died just now
                self._end_server()
                self._send_descriptors(kind, descriptors)
        finally:
            os.close(request_file)
            attempt.close_server_ends()
        attempt.server = self._server

    def _send_descriptors(self, kind: str, descriptors: list[int]) -> None:
        if self._server is None or self._server.poll() is not None:
            self._end_server()
            self.start()
        assert self._requests is not None
        socket.send_fds(self._requests, [kind.encode()], descriptors)


def _file_with(data: bytes) -> int:
    """A file in memory, for requests are larger than a packet may be."""
    descriptor = os.memfd_create("request")
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _result(reports: list[dict[str, Any]], function: str, log: Path) -> dict[str, Any]:
    answer: dict[str, Any] = reports[-1] if reports else {}
    if "user_error" in answer:
        raise unpacked(answer["user_error"])
    if "error" in answer:
        failed = RuntimeError(f"{function} failed:\n{answer['error']}")
        if answer.get("system"):
            raise OSError(*answer["system"]) from failed
        raise failed
    if "result" not in answer:
        raise UserError(
            f"{function} was killed or crashed before it answered; what it printed is in {log}"
        )
    result: dict[str, Any] = answer["result"]
    return result


class LocalAttempt:
    """The orchestrator's ends of one attempt's lifeline and status pipe.

    Args:
        patience: seconds for which its leader, or the server before it has forked that, may be
            stopped before the group is ended.
    """

    server: subprocess.Popen[bytes] | None = None  # that was asked for it
    waits = False
    place = ""

    def __init__(self, patience: float) -> None:
        lifeline_read, self._lifeline = os.pipe()
        self._status, status_write = os.pipe()
        os.set_blocking(self._status, False)
        self.server_ends = [lifeline_read, status_write]
        self.reports: list[dict[str, Any]] = []
        self._rest = b""
        self._ended = False
        self._still = StandingStill(patience)
        self._killed_at: float | None = None
        self._word = ""

    def fileno(self) -> int:
        return self._status

    @property
    def pid(self) -> int | None:
        """The leader's process id, once it has reported it."""
        record = self._record()
        return None if record is None else int(record["pid"])

    def _record(self) -> dict[str, Any] | None:
        self.ended()
        return next((report for report in self.reports if "pid" in report), None)

    def close_server_ends(self) -> None:
        for descriptor in self.server_ends:
            os.close(descriptor)
        self.server_ends = []

    def ended(self) -> bool:
        """Read what has been reported; True once the other end is closed."""
        while not self._ended:
            try:
                data = os.read(self._status, 65536)
            except BlockingIOError:
                break
            self._ended = not data
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.reports.extend(json.loads(line) for line in lines)
        return self._ended

    def poll(self) -> Exit | None:
        if not self.ended():
            self._end_what_stands_still()
            if not self._ended:
                return None
        self.kill()
        report = next((report for report in self.reports if "codes" in report), None)
        if report is None:
            return Exit(vanished=True, word=self._word)
        codes = {int(rank): code for rank, code in report["codes"].items()}
        return Exit(codes=codes, first=report["first"], hung=report["hung"])

    def kill(self) -> None:
        """Close the lifeline: its end of file ends the leader and every rank."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
            self._killed_at = time.monotonic()

    def recall(self) -> None:
        """It began at once."""

    def _end_what_stands_still(self) -> None:
        """End by SIGKILL what is stopped, or does not go; a stopped process reacts to nothing."""
        record, server = self._record(), self.server
        if self._killed_at is None:
            stopped = record["pid"] if record else server.pid if server else None
            if not self._still.too_long(stopped):
                return
            whose = "the leader of its processes" if record else "the process it is forked from"
            self._word = f"{whose} was stopped for {self._still.patience:g} s, and was killed"
            self.kill()
        elif time.monotonic() < self._killed_at + KILL_SECONDS:
            return
        if record is not None:
            end_session(record["pid"], record["since_boot"])
        elif server is not None:
            server.kill()
        assert self._killed_at is not None
        self._ended = time.monotonic() > self._killed_at + GIVE_UP_SECONDS

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.kill()
            os.close(self._status)
