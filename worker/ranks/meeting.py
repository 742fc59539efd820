"""How the ranks of an attempt on a cluster find each other: through a store that rank 0 offers.

Files on a network file system neither lock nor appear at once; all that is asked of them here is
that a small one can be read a while after it was written. It says where the store listens. By the
address at which a rank of another node reaches it both learn which of their networks to use: never
one that stays within a machine, such as loopback or a container's bridge.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch.distributed import DistError, Store, TCPStore  # type: ignore[attr-defined]

from protocol.files import read_fresh, write_text
from worker.machine.networks import NoMeeting, choose, interface_of, loopback, own_addresses

_LOOK_SECONDS = 0.1  # between looks for where the store listens
_CONNECT_SECONDS = 5.0  # for one address of it
_REACHED = "reached_at"  # the store's word for the address at which another node reached it


def meet(
    place: Path, *, rank: int, node: int, nodes: int, interface: str | None, patience: float
) -> Store:
    """The store through which the ranks find each other; the networks to use are set as well.

    Args:
        place: the file that says where it is; on a file system that all nodes see.
        rank: of this process.
        node: that it is on, counted from 0; rank 0 is on the first.
        nodes: of the attempt.
        interface: of each node, to be used; None: found out.
        patience: seconds to wait for the others.

    Raises:
        NoMeeting: there is no such interface, or no way to rank 0.
        DistError: the others do not come.
    """
    if rank == 0:
        store = _offered(place, nodes, interface, patience)
    else:
        store = _found(place, node, patience)
    if nodes == 1:
        choose(loopback())
    elif interface is not None:
        choose(interface)
    else:
        choose(interface_of(_reached(store, node, patience)))
    return store


def _offered(place: Path, nodes: int, interface: str | None, patience: float) -> Store:
    if nodes == 1:
        addresses, listener = ["127.0.0.1"], socket.create_server(("127.0.0.1", 0))
    else:
        addresses, listener = own_addresses(interface), socket.create_server(("", 0))
    port = listener.getsockname()[1]
    store = TCPStore(
        "127.0.0.1",
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=patience),
        master_listen_fd=listener.detach(),  # which is the store's from now on
    )
    token = secrets.token_hex(8)
    store.set("token", token)
    said = {"host": socket.gethostname(), "addresses": addresses, "port": port, "token": token}
    write_text(place, json.dumps(said) + "\n")
    return store


def _found(place: Path, node: int, patience: float) -> Store:
    said = _read(place, patience)
    addresses: list[str] = said["addresses"]
    if node == 0:
        addresses = ["127.0.0.1"]
    elif said["host"] == socket.gethostname():  # nodes that are one machine, for trying things out
        addresses = [*addresses, "127.0.0.1"]
    for address in addresses:
        with contextlib.suppress(OSError, DistError):
            # First by hand: the store would try an address that nobody answers for very long.
            socket.create_connection((address, said["port"]), timeout=_CONNECT_SECONDS).close()
            store = TCPStore(
                address,
                said["port"],
                is_master=False,
                wait_for_workers=False,
                timeout=timedelta(seconds=patience),
            )
            if store.get("token").decode() == said["token"]:
                if node > 0:
                    store.compare_set(_REACHED, "", address)
                return store
    raise NoMeeting(
        f"rank 0 on {said['host']} listens at port {said['port']} of {', '.join(addresses)}, but "
        f"none of these can be reached from {socket.gethostname()}; launcher.interface names the "
        "network that joins them"
    )


def _read(place: Path, patience: float) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(ValueError):
            if text := read_fresh(place):
                said: dict[str, Any] = json.loads(text)
                return said
        time.sleep(_LOOK_SECONDS)
    raise NoMeeting(f"rank 0 did not say where to meet within {patience:g} s")


def _reached(store: Store, node: int, patience: float) -> str:
    """This node's own address on the network that leads to the others."""
    store.wait([_REACHED], timedelta(seconds=patience))
    of_first = store.get(_REACHED).decode()
    if node == 0:
        return of_first
    # No packet is sent: the system only looks up which way it would go.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((of_first, 9))
        address: str = probe.getsockname()[0]
        return address
