"""With a study that listens, and without."""

import pytest

from tests.unit.integrations.heard import Heard


@pytest.fixture
def study(tmp_path, monkeypatch):
    heard = Heard.beside(tmp_path / "reports.jsonl")
    for name, value in heard.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RANK", raising=False)
    return heard


@pytest.fixture
def no_study(tmp_path, monkeypatch):
    """A folder to work in, and nobody who listens."""
    for name in ("TOMOSTUDY_REPORT", "TOMOSTUDY_STOP", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
