"""The networks of this machine: by which others reach it, and which ones to keep off."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")  # of the environment, chosen by users
_WITHIN_A_MACHINE = (
    "lo",
    "docker",
    "br-",
    "veth",
    "virbr",
    "cni",
    "podman",
    "lxc",
    "lxd",
    "flannel",
)


class NoMeeting(Exception):
    """The ranks cannot find each other."""


def own_addresses(interface: str | None) -> list[str]:
    """Where this node may be reached from others, the likeliest first."""
    found = [(name, address) for name, address in _networks() if interface in (None, name)]
    if interface is not None:
        if not found:
            known = ", ".join(sorted({name for name, _ in _networks()}))
            raise NoMeeting(
                f"launcher.interface: {socket.gethostname()} has no {interface}; found are {known}"
            )
        return [address for _, address in found]
    own = _by_name()
    outward = [address for name, address in found if not name.startswith(_WITHIN_A_MACHINE)]
    return sorted(outward, key=lambda address: address not in own)


def _by_name() -> list[str]:
    """What this node's name leads to."""
    with contextlib.suppress(OSError):
        return socket.gethostbyname_ex(socket.gethostname())[2]
    return []


def _networks() -> Iterator[tuple[str, str]]:
    """The interfaces that are up, with an address of each."""
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family == socket.AF_INET and name in up:
                yield name, address.address


def interface_of(address: str) -> str | None:
    return next((name for name, found in _networks() if found == address), None)


def loopback() -> str | None:
    return "lo" if Path("/sys/class/net/lo").exists() else None


def choose(interface: str | None) -> None:
    """Have gloo and NCCL use an interface, unless the user has chosen another."""
    for name in INTERFACES:
        if interface is not None:
            os.environ.setdefault(name, interface)
