"""A process with torch already imported, from which every attempt is forked.

Started as `python -m worker.processes.forkserver SOCKET SIGNALS MODULE... -- MODULE...`. SIGNALS,
numbers with commas between, mean nothing to it and to all that it forks: a cluster sends them to
every process of a job, of which one knows what to do. The modules
before the dashes are imported before anything is forked. Those behind them are for attempts only:
they come while no request waits, at the latest with the first attempt, so that the settings are
checked meanwhile. It must neither touch CUDA nor start a thread, because both do not survive a
fork. Each request is a packet that says what it is for, with three descriptors: the lifeline,
whose end of file means that the orchestrator is gone, the status pipe, on which the forked leader
reports, and a file with the request as JSON. A kill of this server leaves running attempts alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from worker.processes import leader

ATTEMPT = b"attempt"  # what the packet of an attempt says
LONGEST = 16  # bytes of a packet


def serve(requests: socket.socket, for_attempts: list[str]) -> None:
    """Fork a leader for every request until the orchestrator closes its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the leaders
    while True:
        while for_attempts and not _waiting(requests):
            preload(for_attempts.pop(0))
        packet, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 3)
        if not packet:
            return
        while for_attempts and packet == ATTEMPT:
            preload(for_attempts.pop(0))
        gc.freeze()  # a worker's collector would touch, and so copy, all that it shares with us
        if os.fork() == 0:
            gc.enable()
            requests.close()
            _become_leader(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _become_leader(lifeline: int, status: int, request_file: int) -> NoReturn:
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with os.fdopen(request_file, "rb") as stream:
            request: dict[str, Any] = json.load(stream)
        if request.pop("kind") == "attempt":
            leader.lead_attempt(lifeline=lifeline, status=status, **request)
        else:
            leader.answer_call(lifeline=lifeline, status=status, **request)
    except BaseException:
        leader.print_trace()
    finally:
        leader.flush_output()
        os.killpg(0, signal.SIGKILL)  # whatever the group still holds goes with its leader
        os._exit(1)


def preload(module: str) -> None:
    """Import what the workers will need; a module that fails fails again where it is used."""
    try:
        importlib.import_module(module)
    except Exception:
        traceback.print_exc()


def _waiting(requests: socket.socket) -> bool:
    return bool(select.select([requests], [], [], 0)[0])


def _die_with_orchestrator(requests: socket.socket) -> None:
    """Go at once also in the midst of importing, which takes seconds."""
    leader.ask_for_death_signal()
    hangup = select.poll()
    hangup.register(requests, 0)
    if hangup.poll(0):  # before the kernel was asked; a request that waits is nobody's by now
        sys.exit()


if __name__ == "__main__":
    for number in filter(None, sys.argv[2].split(",")):
        signal.signal(int(number), signal.SIG_IGN)
    requests = socket.socket(fileno=int(sys.argv[1]))
    _die_with_orchestrator(requests)
    gc.disable()  # modules stay: looking for garbage among them takes a sixth of their import
    dashes = sys.argv.index("--")
    for module in sys.argv[3:dashes]:
        preload(module)
    serve(requests, sys.argv[dashes + 1 :])
