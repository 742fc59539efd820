"""A PostgreSQL server of the tests' own, in one folder, where one is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEEPER = Path(__file__).with_name("keeper.py")
PASSWORD = "s3cr:t/w@rd?"
_USER = "nobody"  # as root would run it: the server refuses to be root's


def program(name: str) -> str | None:
    """Debian's packages put theirs beside PATH, by version."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(beside[-1]) if beside else shutil.which(name)


def missing() -> str:
    """Why no server can be used here, in one sentence; empty where it can."""
    if importlib.util.find_spec("psycopg") is None:
        return "no driver of PostgreSQL: python -m pip install 'psycopg[binary]'"
    if any(program(name) is None for name in ("initdb", "postgres")):
        return "no PostgreSQL server: as root, apt-get install --yes postgresql"
    return ""


@dataclass
class Server:
    """Listens on 127.0.0.1 with passwords, and on a socket in `place` without."""

    place: Path
    port: int
    database: str = "postgres"
    _keeper: subprocess.Popen[bytes] | None = None

    def url(self, user: str = "me") -> str:
        """Over the socket, where everybody is trusted."""
        return f"postgresql+psycopg://{user}@/{self.database}?host={self.place}&port={self.port}"

    def tcp(self, user: str = "me", password: str = "", database: str = "") -> str:
        """Over the network, where a password is asked for: PGPASSWORD, or a variable's."""
        colon = f":{password}" if password else ""
        database = database or self.database
        return f"postgresql+psycopg://{user}{colon}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Returns when it answers."""
        command = [program("postgres"), "-D", self.place / "data", "-k", self.place]
        command += ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (self.place / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, KEEPER, "SIGQUIT", self.place, *_as_user(), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, (self.place / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """As a power cut: every session is gone at once."""
        if self._keeper is not None:
            self._keeper.communicate(timeout=30)
            self._keeper = None

    def renew(self) -> None:
        """Another database, as empty as a new server's."""
        if self._keeper is None:
            self.start()
        name = f"studies_{time.monotonic_ns()}"
        self.sql(f"CREATE DATABASE {name}")
        self.database = name

    def new_user(self, password: str = "") -> str:
        """The name of a user without rights of its own."""
        name = f"user_{time.monotonic_ns()}"
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        return name

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """As the server's administrator."""
        import psycopg

        where = {"host": str(self.place), "port": self.port, "dbname": self.database, "user": "me"}
        with psycopg.connect(**where, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def _answers(self) -> bool:
        import psycopg

        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def running() -> Iterator[Server]:
    """A server that is up, for a fixture to yield from; its folder is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix="pg-"))  # sockets' paths are short, and it is the user's
    if os.geteuid() == 0:
        shutil.chown(place, _USER)
    (place / "password").write_text(PASSWORD)
    server = Server(place, _free_port())
    try:
        access = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        command = [
            program("initdb"),
            "-U",
            "me",
            *access,
            "--no-sync",
            "--locale=C",
            "--encoding=UTF8",
        ]
        command += [f"--pwfile={place}/password", "-D", place / "data"]
        subprocess.run(_as_user() + command, check=True, capture_output=True, cwd=place)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(place)


def _as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_USER}", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
