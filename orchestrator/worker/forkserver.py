"""A process with torch already imported, from which every attempt is forked.

Started as `python -m orchestrator.worker.forkserver SOCKET MODULE...`. It must neither touch CUDA
nor start a thread, because both do not survive a fork. Each request is a packet of three
descriptors: the lifeline, whose end of file means that the orchestrator is gone, the status pipe,
on which the forked leader reports, and a file with the request as JSON. A kill of this server
leaves running attempts alone.
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

from orchestrator.worker import leader


def serve(requests: socket.socket) -> None:
    """Fork a leader for every request until the orchestrator closes its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the leaders
    while True:
        packet, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
        if not packet:
            return
        if os.fork() == 0:
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
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.killpg(0, signal.SIGKILL)  # whatever the group still holds goes with its leader
        os._exit(1)


def preload(modules: list[str]) -> None:
    """Import what the workers will need; a module that fails fails again where it is used.

    Modules stay, so looking for garbage among them is a sixth of the time for nothing. Frozen,
    they are not looked through by the workers either, whose copies of them stay shared.
    """
    gc.disable()
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception:
            traceback.print_exc()
    gc.freeze()
    gc.enable()


def _die_with_orchestrator(requests: socket.socket) -> None:
    """Go at once also in the midst of importing, which takes seconds."""
    leader.ask_for_death_signal()
    hangup = select.poll()
    hangup.register(requests, 0)
    if hangup.poll(0):  # before the kernel was asked; a request that waits is nobody's by now
        sys.exit()


if __name__ == "__main__":
    requests = socket.socket(fileno=int(sys.argv[1]))
    _die_with_orchestrator(requests)
    preload(sys.argv[2:])
    serve(requests)
