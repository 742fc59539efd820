import sys

import pytest

from orchestrator.reporting.hints import Commands, commands_on
from protocol.folders import StudyFolder


def test_a_study_elsewhere_needs_its_folder_named_and_quoted(tmp_path):
    folder = StudyFolder(tmp_path / "my runs" / "demo")
    commands = Commands(folder, "./run_study.sh")
    runs = f"'{tmp_path}/my runs'"
    assert commands.on_study("export", "--out", "best/") == (
        f"./run_study.sh export --study_name demo --runs_dir {runs} --out best/"
    )


def test_a_study_in_the_usual_place_needs_its_name_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("orchestrator.reporting.hints._DEFAULT_RUNS", tmp_path)
    commands = Commands(StudyFolder(tmp_path / "demo"), "tomostudy")
    assert commands.go_on("--n_trials", "16") == "tomostudy --study_name demo --n_trials 16"


@pytest.mark.parametrize(
    ("called", "program"),
    [("/venv/bin/tomostudy", "tomostudy"), ("/x/orchestrator/__main__.py", "./run_study.sh")],
)
def test_commands_are_spelled_with_the_name_that_was_typed(monkeypatch, tmp_path, called, program):
    monkeypatch.setattr(sys, "argv", [called])
    assert commands_on(StudyFolder(tmp_path / "demo")).program == program
