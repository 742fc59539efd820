"""The cluster that the tests of this folder share."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing, running
from tests.studio import Studio


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


@pytest.fixture
def studio(tmp_path, cluster: Cluster):
    """A study whose trials are jobs of the cluster; nothing of it is left behind a test."""
    studio = Studio(tmp_path, environment={key: cluster.env[key] for key in ("SLURM_CONF", "PATH")})
    launcher = {"kind": "slurm", "jobs": 2, "mem_gb": 1.9, "signal_seconds": 10}
    studio.change(launcher=launcher, limits={"checkpoint_seconds": 0.1})
    yield studio
    for process in studio.processes():
        with contextlib.suppress(Exception):
            process.kill()
