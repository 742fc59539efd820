"""`dashboard`: optuna-dashboard on a study, with its pictures; works while the study runs."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import IO

from orchestrator.database.address import spelled
from orchestrator.study.find import database_of, read_study
from orchestrator.study.record import StudyRecord
from protocol.errors import SettingsError, UserError
from protocol.folders import StudyFolder

_START_SECONDS = 60.0
_DATABASE = "TOMOSTUDY_DASHBOARD_DATABASE"
# The URL may hold a password, which everybody could read among a process's arguments.
_PROGRAM = f"""\
import os, sys
from optuna_dashboard._cli import main
sys.argv.append(os.environ.pop("{_DATABASE}"))
main()
"""

_PR_SET_PDEATHSIG = 1


def serve_dashboard(folder: StudyFolder, *, host: str = "127.0.0.1", port: int = 8080) -> int:
    """Serve the dashboard until ^C; the exit code.

    Raises:
        SettingsError: there is no such study, or the address cannot be listened on.
        UserError: the dashboard did not start, or ended; says why.
    """
    record = read_study(folder)  # a wrong name or a damaged database is told here, in one sentence
    check_address(host, port)
    # Its log has a line for every request: only the end of it is told, when it fails.
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryFile() as log,
        _dashboard(folder, host, port, log) as process,
    ):
        _wait_until_it_listens(process, host, port)
        if process.poll() is None:
            print(f"The dashboard of study {folder.name}: {_url(record, host, port)}")
            print("^C ends it, and leaves a running study alone.", flush=True)
        process.wait()
        raise UserError(f"the dashboard ended: {_last_line(log)}")
    return 0


@contextlib.contextmanager
def _dashboard(
    folder: StudyFolder, host: str, port: int, log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    # The folder of pictures is named even before there is one: the first may come any time.
    options = ["--host", host, "--port", str(port), "--artifact-dir", str(folder.artifacts)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, *options],
        env={**os.environ, _DATABASE: spelled(database_of(folder))},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=_ending_with_parent(),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _ending_with_parent() -> Callable[[], None]:
    """For the child to call: it ends when this process does, however that ends."""
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)

    return ask_the_kernel


def _wait_until_it_listens(process: subprocess.Popen[bytes], host: str, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and not listens(host, port):
        if time.monotonic() > deadline:
            raise UserError(f"the dashboard did not answer within {_START_SECONDS:.0f} s")
        time.sleep(0.05)


def _url(record: StudyRecord, host: str, port: int) -> str:
    reachable = "127.0.0.1" if host == "0.0.0.0" else host
    return f"http://{reachable}:{port}/dashboard/studies/{record.place}"


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def check_address(host: str, port: int) -> None:
    """Make sure that the address is free.

    Raises:
        SettingsError: it is not; names the next port that is.
    """
    if not 1 <= port <= 65535:
        raise SettingsError(f"found {port}, expected 1 to 65535", key="--port")
    try:
        if is_free(host, port):
            return
        following = next((other for other in range(port + 1, 65536) if is_free(host, other)), None)
    except OSError as error:
        raise SettingsError(
            f"{host} cannot be listened on ({error.strerror or error}); expected a name "
            "or an IPv4 address of this machine, or 0.0.0.0 for all of them",
            key="--host",
        ) from None
    hint = "no higher one is free" if following is None else f"try --port {following}"
    raise SettingsError(f"{port} cannot be listened on at {host}; {hint}", key="--port")


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
