"""Whether an address can be listened on."""

from __future__ import annotations

import errno
import socket

from orchestrator.errors import SettingsError


def check_address(host: str, port: int) -> None:
    """Make sure that the address is free.

    Raises:
        SettingsError: it is not; names the next port that is.
    """
    if not 1 <= port <= 65535:
        raise SettingsError(f"--port: found {port}, expected 1 to 65535")
    try:
        if is_free(host, port):
            return
        following = next((other for other in range(port + 1, 65536) if is_free(host, other)), None)
    except OSError as error:
        raise SettingsError(
            f"--host: {host} cannot be listened on ({error.strerror or error}); expected a name "
            "or an IPv4 address of this machine, or 0.0.0.0 for all of them"
        ) from None
    hint = "no higher one is free" if following is None else f"try --port {following}"
    raise SettingsError(f"--port: {port} cannot be listened on at {host}; {hint}")


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on the port, and this user may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does: a port whose last connections linger may be taken again.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except PermissionError:
            return False
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def listens(host: str, port: int) -> bool:
    """Whether something answers at the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0
