"""What the tests of every folder share, and the order in which they run."""

from __future__ import annotations

import gc
import os

import pytest

from orchestrator.launcher.local import LocalLauncher

# Threads that wait for one another let go of their core: spinning, as they do by themselves, takes
# ten times the tests' own time where as many tests as cores run side by side.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """A launcher whose server has everything imported that a study would."""
    log = tmp_path_factory.mktemp("launcher") / "forkserver.log"
    launcher = LocalLauncher(log=log, preload=("models.families.fbp_window",))
    yield launcher
    launcher.close()


def pytest_configure():
    gc.disable()  # while the tests are imported, which leave no garbage


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items):
    """The slow tests first: one that began last would run while the other cores wait."""
    found = yield
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    return found


def pytest_collection_finish():
    gc.freeze()
    gc.enable()
