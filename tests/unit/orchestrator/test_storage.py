"""The database is there whole or not at all, and refuses what is not a study's."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.errors import SettingsError, UserError
from orchestrator.storage import database_url, open_study
from orchestrator.trial_folder import StudyFolder

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "x"
    path.mkdir()
    return StudyFolder(path)


def test_a_new_study_is_created_in_wal_mode_and_found_again(folder):
    open_study(folder, None, "maximize").enqueue_trial({"a": 1})
    mode = sqlite3.connect(folder.database).execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == "wal"
    assert len(open_study(folder, None, "maximize").get_trials()) == 1


def test_a_kill_while_the_study_is_created_never_leaves_half_of_it(folder):
    script = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.storage import open_study\n"
        "from orchestrator.trial_folder import StudyFolder\n"
        "print('go', flush=True)\n"
        "open_study(StudyFolder(Path(sys.argv[1])), None, 'minimize')\n"
    )
    moments = random.Random(0)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder.path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
        if folder.database.exists():
            assert open_study(folder, None, "minimize").get_trials() == []
            for path in folder.path.glob("study.db*"):
                path.unlink()
    assert open_study(folder, None, "minimize").get_trials() == []


@pytest.mark.parametrize("content", [b"", b"this is no database, but long enough" * 100])
def test_a_foreign_database_is_refused_in_one_sentence(folder, content):
    folder.database.write_bytes(content)
    with pytest.raises(UserError, match=r"study\.db"):
        open_study(folder, None, "minimize")


def test_a_database_of_another_study_is_refused(folder, tmp_path):
    other = StudyFolder(tmp_path / "other")
    other.path.mkdir()
    open_study(other, None, "minimize")
    other.database.rename(folder.database)
    with pytest.raises(UserError, match="holds no study 'x'"):
        open_study(folder, None, "minimize")


def test_a_lost_database_is_not_silently_begun_anew(folder):
    folder.trial(0).path.mkdir()
    with pytest.raises(UserError, match="missing"):
        open_study(folder, None, "minimize")


def test_another_database_takes_its_secrets_from_the_environment(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PLACE", str(tmp_path))
    url = "sqlite:///${PLACE}/shared.db"
    assert database_url(folder, url) == f"sqlite:///{tmp_path}/shared.db"
    open_study(folder, url, "minimize")
    assert (tmp_path / "shared.db").exists()
    monkeypatch.delenv("PLACE")
    with pytest.raises(SettingsError, match="PLACE is not set"):
        open_study(folder, url, "minimize")


def test_an_unreachable_database_is_one_sentence(folder):
    with pytest.raises(SettingsError, match=r"storage\.url"):
        open_study(folder, "sqlite:////no/such/folder/x.db", "minimize")
    with pytest.raises(SettingsError, match=r"storage\.url"):
        open_study(folder, "nosuchdriver://x", "minimize")
