"""What the tests of every folder share, and the order in which they run."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from orchestrator.launcher.local import LocalLauncher
from tests.postgresql import missing as postgresql_missing
from tests.postgresql import running as postgresql_running

# Threads that wait for one another let go of their core: spinning, as they do by themselves, takes
# ten times the tests' own time where as many tests as cores run side by side.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


FAULTS = Path(__file__).parent / "faults"


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """A launcher whose server has everything imported that a study would."""
    log = tmp_path_factory.mktemp("launcher") / "forkserver.log"
    launcher = LocalLauncher(
        log=log, preload=("worker.calls.evaluation", "models.families.fbp_window")
    )
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def postgresql_server():
    """A PostgreSQL of the tests' own; skipped where there is none, or no driver."""
    if reason := postgresql_missing():
        pytest.skip(reason)
    yield from postgresql_running()


@pytest.fixture
def postgresql(postgresql_server):
    """The server, running, with an empty database of this test's own."""
    postgresql_server.renew()
    return postgresql_server


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests that are marked long")
    parser.addoption("--faults", action="store_true", help="tests/faults alone, and at length")
    parser.addoption("--minutes", type=float, default=30.0, help="how long each of these takes")
    parser.addoption("--seed", type=int, default=0, help="the first of their seeds")


def pytest_configure():
    gc.disable()  # while the tests are imported, which leave no garbage


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items):
    """The slow tests first: one that began last would run while the other cores wait."""
    for item in items:
        if "postgresql" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
    found = yield
    if items and items[0].config.getoption("--faults"):
        items[:] = [item for item in items if FAULTS in item.path.parents]
    if items and not items[0].config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="only with --long"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    return found


def pytest_terminal_summary(terminalreporter):
    """What the suites of faults did, by kind."""
    ended = [report for how in ("passed", "failed") for report in terminalreporter.getreports(how)]
    for report in ended:
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}:\n{value}")


def pytest_collection_finish():
    gc.freeze()
    gc.enable()
