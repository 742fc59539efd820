from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.studio import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio; whatever a failed test leaves running is ended."""
    studio = Studio(tmp_path)
    yield studio
    for process in studio.processes():
        process.kill()


@pytest.fixture
def inside(tmp_path: Path, launcher) -> Studio:
    """A studio whose runs are made within this process, in a second each."""
    return Studio(tmp_path, launcher=launcher)


@pytest.fixture(scope="session")
def searched(tmp_path_factory) -> Path:
    """The folder of the preset's study, run to its end once for all processes of this test run."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    folder = common / "searched"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            code, output = Studio(folder).run()
            assert code == 0, output
    return folder


@pytest.fixture
def finished(studio: Studio, searched: Path) -> Studio:
    """A studio whose study is at its end, for what comes after."""
    shutil.copytree(searched / "runs", studio.path / "runs", symlinks=True)
    return studio
