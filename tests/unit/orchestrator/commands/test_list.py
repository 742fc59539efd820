"""What `list` prints, and how long that takes."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest

from orchestrator.commands.list import list_studies
from protocol.folders import StudyFolder
from tests.made_study import MadeStudy


def test_a_line_tells_trials_best_hours_and_when_it_was_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    made = MadeStudy(tmp_path, "found")
    made.write_settings(n_trials=1)
    made.add(26.5)
    MadeStudy(tmp_path, "odd[red]name").folder.database.write_bytes(b"no database" * 1000)
    list_studies(tmp_path)
    title, first, second, problem, *_ = capsys.readouterr().out.splitlines()
    assert title.split() == ["study", "state", "trials", "best", "device-hours", "last", "written"]
    assert first.split()[:6] == ["found", "finished", "1", "of", "1", "26.5"]
    assert first.endswith("s ago")
    assert second.split()[:4] == ["odd[red]name", "unreadable", "-", "-"]
    assert problem.startswith("odd[red]name: ")
    assert "study.db" in problem


def test_json_is_a_list_in_the_order_of_names(tmp_path, capsys):
    for name in ("b", "a"):
        MadeStudy(tmp_path, name)
    list_studies(tmp_path, as_json=True)
    assert [one["study_name"] for one in json.loads(capsys.readouterr().out)] == ["a", "b"]


def test_a_folder_without_studies_is_said_to_be_one(tmp_path, capsys):
    list_studies(tmp_path / "nothing")
    assert capsys.readouterr().out == f"There is no study in {tmp_path / 'nothing'}\n"


@pytest.mark.slow
def test_two_hundred_studies_are_listed_sooner_than_optuna_opens_twenty(tmp_path, capsys):
    made = MadeStudy(tmp_path, "s0")
    for value in range(5):
        made.add(float(value))
    for number in range(1, 200):
        copy = StudyFolder(shutil.copytree(made.folder.path, tmp_path / f"s{number}"))
        with contextlib.closing(sqlite3.connect(copy.database)) as connection:
            connection.execute("UPDATE studies SET study_name = ?", (copy.name,))
            connection.commit()
    begun = time.perf_counter()
    list_studies(tmp_path, as_json=True)
    listed = time.perf_counter() - begun
    assert len(json.loads(capsys.readouterr().out)) == 200
    code = (
        "import time; begun = time.perf_counter(); import optuna\n"
        f"for n in range(20): optuna.load_study(study_name=f's{{n}}',"
        f" storage=f'sqlite:///{tmp_path}/s{{n}}/study.db').get_trials()\n"
        "print(time.perf_counter() - begun)"
    )
    command = [sys.executable, "-c", code]
    opened = float(subprocess.run(command, capture_output=True, check=True).stdout)
    assert listed < opened, f"{listed:.2f} s, Optuna {opened:.2f} s"
