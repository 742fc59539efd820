"""Which process of a study plays which part, and sending it signals."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

from protocol.doors import FORK_SERVER
from tests.faults.points import rank_of
from tests.studio import Studio


def found(studio: Studio, orchestrator: int, role: str) -> list[psutil.Process]:
    """The living processes of a studio's present run that play a part.

    Args:
        studio: whose.
        orchestrator: the process id of the run.
        role: "orchestrator", "fork server", "leader", "rank 0", "loader" or "tracking".
    """
    ours = studio.processes()
    ranks = {p.pid: rank_of(p.pid) for p in ours if rank_of(p.pid) is not None}
    match role.split():
        case ["orchestrator"]:
            return [p for p in ours if p.pid == orchestrator]
        case ["fork", "server"]:
            return [p for p in ours if _is_called(p, FORK_SERVER, orchestrator)]
        case ["leader"]:
            leaders = {_parent(p) for p in ours if p.pid in ranks} - ranks.keys()
            return [p for p in ours if p.pid in leaders]
        case ["rank", number]:
            own = [p for p in ours if ranks.get(p.pid) == int(number)]
            return [p for p in own if _parent(p) not in ranks]
        case ["loader"]:
            return [p for p in ours if p.pid in ranks and _parent(p) in ranks]
        case ["tracking"]:
            return [p for p in ours if _is_called(p, "orchestrator.tracking", orchestrator)]
    raise ValueError(role)


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _is_called(process: psutil.Process, module: str, parent: int) -> bool:
    try:
        return process.ppid() == parent and module in process.cmdline()
    except psutil.Error:
        return False
