"""A PostgreSQL server of the tests' own, where one is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def _program(name):
    """Debian's packages put theirs beside PATH, by version."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else None)


@pytest.fixture
def server():
    """A PostgreSQL of its own; skipped where there is none, or no driver."""
    pytest.importorskip("psycopg")
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server")
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    place = Path(tempfile.mkdtemp())  # sockets' paths are short, and this one is the user's
    if user:
        shutil.chown(place, user)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    quiet |= {"user": user, "cwd": place}
    data = str(place / "data")
    subprocess.run([initdb, "-A", "trust", "-U", "me", data], **quiet)
    options = f"-k {place} -c listen_addresses=''"
    subprocess.run([pg_ctl, "-D", data, "-o", options, "-w", "start"], **quiet)

    def restart():
        arguments = [pg_ctl, "-D", data, "-o", options, "-m", "immediate", "restart"]
        return subprocess.Popen(arguments, **{key: quiet[key] for key in quiet if key != "check"})

    yield f"postgresql+psycopg://me@/postgres?host={place}", restart
    subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(place)
