"""The cluster that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slurm.cluster import missing, running


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """Two nodes of four CPUs each; skipped where Slurm is missing, or the tests are not root's."""
    if reason := missing():
        pytest.skip(reason)
    yield from running(tmp_path_factory.mktemp("slurm"))


@pytest.fixture
def cluster(slurm):
    """The shared cluster, whole and empty, as a test finds it and has to leave it."""
    assert slurm.squeue() == {}
    yield slurm
    slurm.restore()
