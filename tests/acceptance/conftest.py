from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.studio import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio; whatever a failed test leaves running is ended."""
    studio = Studio(tmp_path)
    yield studio
    for process in studio.processes():
        process.kill()
