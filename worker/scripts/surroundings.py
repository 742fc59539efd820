"""What a user's command finds in its environment: its rank, its devices, where to report."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from protocol.files import read_fresh, write_text
from protocol.folders import TrialFolder
from protocol.messages import Plan
from protocol.script import REPORT_VARIABLE, STOP_VARIABLE, TRIAL_VARIABLE
from worker.machine.networks import INTERFACES, NoMeeting, loopback, own_addresses

_ROOT = Path(__file__).resolve().parents[2]
_INTEGRATIONS = _ROOT / "integrations"
# What says where our own process is, which frameworks would take for the script's.
_OURS = re.compile(
    r"PYTHONPATH$|PMI_|PMIX_|SLURM_(STEP|PROCID|LOCALID|NODEID|GTIDS|NTASKS|NPROCS|TASKS_PER_NODE)"
)
_LOOK_SECONDS = 0.05
_MEETING_SECONDS = 600.0


def environment_of(
    folder: TrialFolder, plan: Plan, rank: int, given: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a rank's process; of rank 0 first, for it says where the others meet it.

    Args:
        folder: of the trial.
        plan: of the attempt.
        rank: of the process.
        given: the environment of this process.

    Raises:
        NoMeeting: rank 0 does not say where to meet, or has no network.
    """
    found = {name: value for name, value in given.items() if not _OURS.match(name)}
    theirs = [part for part in given.get("PYTHONPATH", "").split(os.pathsep) if part]
    found["PYTHONPATH"] = os.pathsep.join(
        [str(_INTEGRATIONS), *(part for part in theirs if Path(part).resolve() != _ROOT)]
    )
    if given.get("OPENBLAS_NUM_THREADS") == "1":  # which was meant for our own processes
        del found["OPENBLAS_NUM_THREADS"]
    threads = plan.threads * (len(plan.devices) if plan.alone else 1)
    found |= {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",  # so that what it prints is seen as it is printed
        REPORT_VARIABLE: str(folder.reports.absolute()),
        STOP_VARIABLE: str(folder.stop.absolute()),
        TRIAL_VARIABLE: str(folder.path.absolute()),
    }
    found |= _devices(plan, rank, given)
    return found if plan.alone else found | _place_among(folder, plan, rank, given)


def _devices(plan: Plan, rank: int, given: Mapping[str, str]) -> dict[str, str]:
    """All of the trial's GPUs on this machine, of which LOCAL_RANK says which one is meant."""
    share = plan.ranks_of(_node(plan, rank)) if not plan.alone else range(len(plan.devices))
    indices = [
        int(device.partition(":")[2])
        for device in (plan.devices[r] for r in share)
        if device != "cpu"
    ]
    seen = [part for part in given.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
    names = [seen[index] if index < len(seen) else str(index) for index in indices]
    return {"CUDA_VISIBLE_DEVICES": ",".join(dict.fromkeys(names))}


def _node(plan: Plan, rank: int) -> int:
    return rank // (plan.ranks // (plan.nodes or 1))


def _place_among(
    folder: TrialFolder, plan: Plan, rank: int, given: Mapping[str, str]
) -> dict[str, str]:
    """What torchrun sets."""
    nodes, node = plan.nodes or 1, _node(plan, rank)
    share = plan.ranks // nodes
    address, port = _met(folder, plan, rank)
    found = {
        "RANK": rank,
        "LOCAL_RANK": rank % share,
        "GROUP_RANK": node,
        "ROLE_RANK": rank,
        "ROLE_NAME": "default",
        "WORLD_SIZE": plan.ranks,
        "LOCAL_WORLD_SIZE": share,
        "GROUP_WORLD_SIZE": nodes,
        "ROLE_WORLD_SIZE": plan.ranks,
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": f"{plan.study}-{plan.trial}",
        "TORCHELASTIC_RESTART_COUNT": 0,
        "TORCHELASTIC_MAX_RESTARTS": 0,
    }
    interface = loopback() if nodes == 1 else plan.interface
    chosen = {name: interface for name in INTERFACES if interface and name not in given}
    return {name: str(value) for name, value in found.items()} | chosen


def _own_address(interface: str | None) -> str:
    found = own_addresses(interface)
    if not found:
        raise NoMeeting(
            f"{socket.gethostname()} has no network that leads out of it; launcher.interface "
            "names the one that joins the nodes"
        )
    return found[0]


def _met(folder: TrialFolder, plan: Plan, rank: int) -> tuple[str, int]:
    """Where rank 0's process is to listen: on a port that was free a moment ago."""
    place = folder.rendezvous(plan.attempt)
    if rank == 0:
        address = "127.0.0.1" if (plan.nodes or 1) == 1 else _own_address(plan.interface)
        with socket.create_server(("", 0)) as free:
            port = free.getsockname()[1]
        write_text(place, json.dumps([address, port]) + "\n")
        return address, port
    deadline = time.monotonic() + _MEETING_SECONDS
    while time.monotonic() < deadline:
        if said := read_fresh(place):
            address, port = json.loads(said)
            return address, port
        time.sleep(_LOOK_SECONDS)
    raise NoMeeting("rank 0 did not say where to meet")
